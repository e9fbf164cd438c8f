// How many of the sent comments a frame shows. Pure functions.

/** Classes of comments. Other events that are left out are counted under the name of their kind. */
const COMMENT_CLASSES = ["normal", "low"];

/** @returns {import("./volley-client.js").Ledger} */
export function ledger(fresh, raises, { merged = {}, shed = {} }, origin) {
  const comments = fresh.flatMap(({ comment }) => (comment ? [comment] : []));
  const stoodFor = sum(comments.map(({ times = 1 }) => times)) + sum(raises.map(({ by }) => by));
  const leftOut = sum(COMMENT_CLASSES.map((name) => shed[name] ?? 0));
  return { shown: comments.length, total: stoodFor + leftOut, merged, shed, origin };
}

const sum = (numbers) => numbers.reduce((all, each) => all + each, 0);
