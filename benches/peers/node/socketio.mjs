// node socketio.mjs PORT: sends messages from the namespace /publish to all clients in the room "show", with Socket.IO over
// WebSockets only.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false });

io.on("connection", (socket) => socket.join("show"));
io.of("/publish").on("connection", (socket) => {
  socket.on("comment", (comment) => io.to("show").emit("comment", comment));
});

http.listen(Number(process.argv[2]), "127.0.0.1");
