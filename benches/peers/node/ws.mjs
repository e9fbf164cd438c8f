// node ws.mjs PORT: everybody at /sub gets what comes in at /pub, with the package `ws`, as its own broadcast example does it.
import { WebSocket, WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]) });
const viewers = new Set();

server.on("connection", (socket, request) => {
  socket.on("error", () => socket.terminate());
  if (request.url !== "/pub") {
    viewers.add(socket);
    socket.on("close", () => viewers.delete(socket));
    return;
  }
  socket.on("message", (data, isBinary) => {
    for (const viewer of viewers) {
      if (viewer.readyState === WebSocket.OPEN) viewer.send(data, { binary: isBinary });
    }
  });
});
