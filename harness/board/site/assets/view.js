// What a page shows (order, filters, chosen curves, axes) stands behind the # of its address, so that a link shows what
// its sender saw. Chart data comes in by the two functions that the files in data/ call.
"use strict";

const speedrun = {
  tracks: {},
  curves: new Map(), // slug -> [[step, loss, seconds or null], …]
  track(data) { speedrun.tracks[data.track] = data; },
  curve(slug, points) { speedrun.curves.set(slug, points); },
};

const view = (() => {
  let values = read();
  const watchers = [];

  function read() {
    const text = location.hash.slice(1);
    return new URLSearchParams(text.includes("=") ? text : "");
  }

  function get(name) {
    return values.get(name) ?? "";
  }

  function set(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (value === "" || value === null) values.delete(name);
      else values.set(name, value);
    }
    const text = [...values].map(([name, value]) => `${name}=${encodeURIComponent(value).replaceAll("%2C", ",")}`);
    // A page that was opened from a file may change nothing of its address but this part.
    history.replaceState(null, "", "#" + text.join("&"));
    tell();
  }

  // Call `watcher` now, and whenever one of these values is another than before.
  function watch(names, watcher) {
    const state = () => JSON.stringify(names.map(get));
    watchers.push({ watcher, state, last: state() });
    watcher();
  }

  function tell() {
    for (const one of watchers) {
      const now = one.state();
      if (now !== one.last) {
        one.last = now;
        one.watcher();
      }
    }
  }

  addEventListener("hashchange", () => {
    if (location.hash && !location.hash.includes("=")) return; // a place on the page
    values = read();
    tell();
  });
  return { get, set, watch };
})();
