// node ws.mjs PORT: sends messages from /pub to all clients at /sub with the package `ws`, as in its broadcast example.
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
