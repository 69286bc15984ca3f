// This module holds the markup of the dialog that imports a list of cameras. dialog.js adds its behaviour.

import { find, markup } from '../lib/dom.js';

const columns = '<thead><tr><th scope="col">Line</th><th scope="col">Name</th><th scope="col">Address</th><th scope="col">Result</th></tr></thead>';

const copy = markup(`
<dialog class="sheet import" data-testid="import-dialog" aria-labelledby="import-title">
  <h2 id="import-title">Import cameras</h2>
  <div class="import-source" data-part="source">
    <div class="import-drop" data-part="drop">
      <label class="import-file"><input type="file" data-testid="import-file" accept=".csv,.txt,text/csv,text/plain"><span class="button">Choose a CSV file</span></label>
      <span class="import-or">or drop it here</span>
      <span class="import-chosen" data-part="file-name"></span>
    </div>
    <label class="field"><span>Or paste the list</span>
      <textarea data-testid="import-text" rows="5" spellcheck="false" autocapitalize="off" autocomplete="off" placeholder="url,name,username,password&#10;rtsp://192.168.1.20:554/stream1,Front door,admin,secret" aria-describedby="import-help"></textarea></label>
    <p class="import-help" id="import-help">One camera per line, <code>url</code> first or a header line that names the columns: <code>url</code>, <code>name</code>, <code>username</code>, <code>password</code>, <code>zone</code>, <code>transport</code>, <code>always_on</code>, <code>tls_insecure</code>, <code>exclusive</code>.
      <button type="button" class="import-template" data-part="template" data-testid="import-template">Download a template</button></p>
  </div>
  <section class="import-preview" data-testid="import-preview" aria-label="What will be imported" hidden>
    <div class="import-counts">
      <p><b class="is-good" data-part="good"></b> <b class="is-warn" data-part="warned"></b> <b class="is-bad" data-part="bad"></b></p>
      <label class="check" data-part="filter"><input type="checkbox" data-part="problems" data-testid="import-problems"> <span>Only lines with errors or warnings</span></label>
    </div>
    <div class="import-table" tabindex="0" role="region" aria-label="Lines"><table>${columns}<tbody data-part="rows"></tbody></table></div>
    <p class="import-more" data-part="more" hidden></p>
  </section>
  <section class="import-preview" data-testid="import-result" aria-labelledby="import-done" hidden>
    <h3 id="import-done" tabindex="-1" data-part="result-title"></h3>
    <p data-part="result-skipped"></p>
    <div class="import-table" tabindex="0" role="region" aria-label="Lines"><table>${columns}<tbody data-part="result-rows"></tbody></table></div>
    <p class="import-more" data-part="result-more" hidden></p>
  </section>
  <p class="problem" data-testid="import-error" role="alert" hidden></p>
  <p class="unseen" role="status" data-part="status"></p>
  <div class="import-acts">
    <button type="button" data-part="again" hidden>Import more</button>
    <button type="button" data-part="close" data-testid="import-close">Cancel</button>
    <button type="button" class="primary" data-testid="import-go" disabled>Import</button>
  </div>
</dialog>
`);

/** Returns a new dialog, closed and not in the page yet. */
export const importDialog = () => find(copy(), 'dialog', HTMLDialogElement);
