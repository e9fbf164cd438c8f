// node uws.mjs PORT [later]: clients at /sub are subscribed to a topic, and messages at /pub are published to it with
// uWebSockets' own pub/sub: in the handler, as its examples do, or `later`, after the turn of the loop. Refuses to run
// without the native addon (C++), because it would then measure a fallback in JavaScript.
process.env.UWS_USE_FALLBACK = "false";
const { default: uWS } = await import("@trufflesuite/uws-js-unofficial");
if (!String(uWS.App).includes("[native code]")) throw new Error("the native addon of uWebSockets does not load here");

const PORT = Number(process.argv[2]);
const app = uWS.App();

// In the handler the publisher holds the only cork buffer, so under load each message leaves in a separate `send`. Messages
// published after the turn are joined, 32 per `send`: under the load of the show that costs a tenth.
const isLater = process.argv[3] === "later";
let waiting = [];
function publish() {
  for (const message of waiting) app.publish("show", message, false);
  waiting = [];
}

app
  .ws("/sub", {
    compression: uWS.DISABLED,
    idleTimeout: 0,
    sendPingsAutomatically: false,
    // At its default of 64 KiB it drops messages silently; a larger bound loses nothing in a slow moment.
    maxBackpressure: 1024 * 1024,
    open: (socket) => socket.subscribe("show"),
  })
  .ws("/pub", {
    compression: uWS.DISABLED,
    idleTimeout: 0,
    message: (socket, message) => {
      if (!isLater) {
        app.publish("show", message, false);
        return;
      }
      if (waiting.length === 0) setImmediate(publish);
      waiting.push(message.slice(0)); // The buffer is valid only until this handler returns.
    },
  })
  .listen("127.0.0.1", PORT, (listening) => {
    if (!listening) throw new Error(`cannot listen on ${PORT}`);
  });
