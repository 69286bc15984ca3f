// Shows this server's own document. No validator: that would send the address of this server to a foreign site.
const root = new URL('..', document.currentScript.src); // A proxy may show this server below a path.

addEventListener('DOMContentLoaded', async () => {
  const answer = await fetch(new URL('openapi.json', root));
  const spec = await answer.json();
  window.ui = window.SwaggerUIBundle({
    spec: { ...spec, servers: [{ url: root.pathname.replace(/\/$/, '') || '/' }] },
    dom_id: '#swagger-ui',
    deepLinking: true,
    validatorUrl: null,
    tryItOutEnabled: true,
  });
});
