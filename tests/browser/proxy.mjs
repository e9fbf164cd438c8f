// A reverse proxy as it is used in front of a server: below a path that it strips or keeps, with a changed `Host`, or
// with its own answer to upgrades.

import { createServer, request as ask } from "node:http";
import { connect } from "node:net";

/**
 * @param {number} port the port of the server
 * @param {{prefix?: string, strips?: boolean, host?: string, upgrade?: number, hosts?: Record<string, string>}} [how]
 *   `prefix`: the path of the server, "/chat/"; `strips`: whether the proxy removes it; `host`: the `Host` for the
 *   server; `upgrade`: the proxy's own status for an upgrade; `pages`: pages of the site itself, by path
 */
export async function proxy(port, { prefix = "/", strips = true, host, upgrade, pages = {} } = {}) {
  const inward = (url) => {
    if (url === prefix.slice(0, -1) && !strips) return url;
    if (!url.startsWith(prefix)) return null;
    return strips ? `/${url.slice(prefix.length)}` : url;
  };
  const headers = (request) => ({ ...request.headers, ...(host ? { host } : {}) });
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://h");
    if (pathname in pages) { response.setHeader("content-type", "text/html"); response.end(pages[pathname]); return; }
    const path = inward(request.url);
    if (path === null) { response.writeHead(404).end("the site's own"); return; }
    const inner = ask({ host: "127.0.0.1", port, path, method: request.method, headers: headers(request) }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    inner.on("error", () => response.writeHead(502).end());
    request.pipe(inner);
  });
  const open = new Set();
  server.on("connection", (socket) => { open.add(socket); socket.on("close", () => open.delete(socket)); });
  server.on("upgrade", (request, socket, head) => {
    socket.on("error", () => {});
    const path = inward(request.url);
    if (upgrade || path === null) { socket.end(`HTTP/1.1 ${upgrade ?? 404} no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`); return; }
    const inner = connect(port, "127.0.0.1", () => {
      const lines = Object.entries(headers(request)).map(([name, value]) => `${name}: ${value}\r\n`).join("");
      inner.write(`GET ${path} HTTP/1.1\r\n${lines}\r\n`);
      inner.write(head);
      inner.pipe(socket).pipe(inner);
    });
    inner.on("error", () => socket.destroy());
    socket.on("close", () => inner.destroy());
  });
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", resolve); });
  const origin = `http://127.0.0.1:${server.address().port}`;
  return { origin, home: origin + prefix, close: () => { for (const socket of open) socket.destroy(); server.close(); } };
}
