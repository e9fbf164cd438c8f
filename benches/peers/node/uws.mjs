// node uws.mjs PORT: everybody at /sub is subscribed to a topic, to which what comes in at /pub is published, with uWebSockets' own
// pub/sub. The addon is native (C++); were it not, this would measure a fallback in JavaScript, so it refuses.
process.env.UWS_USE_FALLBACK = "false";
const { default: uWS } = await import("@trufflesuite/uws-js-unofficial");
if (!String(uWS.App).includes("[native code]")) throw new Error("the native addon of uWebSockets does not load here");

const PORT = Number(process.argv[2]);
const app = uWS.App();

app
  .ws("/sub", {
    compression: uWS.DISABLED,
    idleTimeout: 0,
    sendPingsAutomatically: false,
    // Its default of 64 KiB, at which it drops without a word; more, so that a slow moment loses nothing.
    maxBackpressure: 1024 * 1024,
    open: (socket) => socket.subscribe("show"),
  })
  .ws("/pub", {
    compression: uWS.DISABLED,
    idleTimeout: 0,
    message: (socket, message, isBinary) => app.publish("show", message, isBinary),
  })
  .listen("127.0.0.1", PORT, (listening) => {
    if (!listening) throw new Error(`cannot listen on ${PORT}`);
  });
