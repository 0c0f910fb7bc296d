import { createServer } from "node:http";
import { once } from "node:events";
import { after } from "node:test";

/**
 * A vendor on loopback that accepts the source's current token. Otherwise 401 with the token in the body, as the real
 * one does. `/redirect?status=307&to=<url>` redirects, whatever the token; without `to`, to itself.
 */
export async function vendor(source) {
  const seen = [];
  const server = createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const { method, headers, url } = request;
      const { pathname, searchParams } = new URL(url, "http://vendor");
      seen.push({ method, headers, path: pathname, body: Buffer.concat(parts).toString() });
      if (pathname === "/redirect") {
        response.writeHead(Number(searchParams.get("status") ?? 307), { location: searchParams.get("to") ?? url }).end();
      } else if (pathname === "/never" || !source.accepts(headers.authorization)) {
        response.writeHead(401).end(JSON.stringify({ message: `Invalid token: ${headers.authorization}` }));
      } else {
        response.writeHead(200, { "content-type": "text/plain" }).end(Buffer.concat(parts));
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, seen };
}

export const reports = (source) => source.requests.map((request) => request.rejectedVersion).filter(Boolean);
