// This script takes the pictures of docs/monitoring.md: Prometheus' own pages while alerts fire.
//
//   node monitoring-pictures.mjs --prometheus http://127.0.0.1:9090 --minutes 3 --out docs
//
// Exit code 0 when both were taken; else 1, with what was missing.

import { join } from 'node:path';
import { options, until, withPage } from './chromium.mjs';

const NAMES = ['prometheus', 'minutes', 'out'];
const { prometheus, minutes, out } = options(NAMES, NAMES);
const STATES = 'sum by (state) (rsm_streams{role="api"}) > 0';

try {
  await withPage({ base: prometheus, viewport: { width: 1000, height: 720 } }, async (page) => {
    // Debian ships the older pages, below /classic.
    await page.goto(new URL('/classic/alerts', prometheus).href);
    // The alerts that do not fire are hidden: they would fill the picture.
    await page.locator('label:has(#inactiveAlerts)').click();
    const many = page.locator('.alert_header', { hasText: 'RsmManyCamerasDown' });
    await until('it says that many cameras are down', async () => ({ ok: await many.isVisible() }));
    await page.screenshot({ path: join(out, 'alerts.png') });

    const query = new URLSearchParams({ 'g0.range_input': `${minutes}m`, 'g0.expr': STATES, 'g0.tab': '0' });
    await page.goto(new URL(`/classic/graph?${query}`, prometheus).href);
    const lines = page.locator('.rickshaw_graph path');
    await until('the graph is drawn', async () => ({ ok: (await lines.count()) > 1 }));
    await page.screenshot({ path: join(out, 'states.png') });
  });
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
