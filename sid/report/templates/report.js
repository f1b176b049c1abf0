"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const data = read("data");
  const charts = read("charts");
  const number = (value) => value.toLocaleString("en");

  // All text of the catalogue goes in as text, never as markup; its direction is its own.
  function element(tag, text, className) {
    const made = document.createElement(tag);
    if (text !== undefined) { made.textContent = text; made.dir = "auto"; }
    if (className) made.className = className;
    return made;
  }
  const tokensOf = (sid) => sid.match(/<[^>]*>/g) || [];

  function sidElement(sid, like) {
    const whole = element("code");
    whole.dir = "ltr";
    const other = like === undefined ? [] : tokensOf(like);
    let same = true;
    tokensOf(sid).forEach((token, level) => {
      same = same && token === other[level];
      const part = element(same ? "mark" : "span", token);
      part.dir = "ltr";
      whole.append(part);
    });
    return whole;
  }

  function itemRow(place, like) {
    const [id, title, sid] = data.items[place];
    const row = element("li");
    const body = element(place < data.found ? "button" : "div", undefined, place < data.found ? "" : "row");
    if (place < data.found) { body.type = "button"; body.addEventListener("click", () => showItem(place)); }
    body.append(sidElement(sid, like), element("span", title || "(no title)", "title"), element("span", id, "id"));
    row.append(body);
    return row;
  }

  function list(places, like, empty) {
    if (places.length === 0) return element("p", empty, "soft");
    const made = element("ul", undefined, "list");
    made.append(...places.map((place) => itemRow(place, like)));
    return made;
  }

  function showItem(place) {
    const [id, title, sid] = data.items[place];
    const panel = document.getElementById("item");
    const heading = element("h3", title || "(no title)", "title");
    heading.tabIndex = -1;
    const line = element("p", undefined, "sid");
    line.append(sidElement(sid));
    const columns = element("div", undefined, "two");
    const alike = element("section");
    alike.append(element("h3", "Closest Semantic IDs"), list(data.alike[place], sid, "No other item shares its first code."));
    const near = element("section");
    near.append(element("h3", "Closest embeddings"), list(data.near[place], sid, "There is no other item."));
    columns.append(alike, near);
    panel.replaceChildren(heading, line, element("p", "item " + id, "soft"),
      element("p", "Tokens that an item shares with this one, from the first on, are marked. In a good index the two lists look alike.", "soft"),
      columns);
    panel.hidden = false;
    heading.focus({ preventScroll: true });
    panel.scrollIntoView({ block: "nearest" });
  }

  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  let keys = null;
  function search(text) {
    const wanted = plain(text.trim());
    const results = document.getElementById("hits");
    const status = document.getElementById("found");
    if (wanted === "") { results.replaceChildren(); status.textContent = ""; return; }
    keys = keys || data.items.slice(0, data.found).map((item) => item.map(plain));
    const ranked = [];
    keys.forEach(([id, title, sid], place) => {
      const rank = id === wanted || sid === wanted ? 0 : sid.startsWith(wanted) ? 1 : title.startsWith(wanted) ? 2
        : title.includes(wanted) ? 3 : id.includes(wanted) ? 4 : sid.includes(wanted) ? 5 : -1;
      if (rank >= 0) ranked.push([rank, place]);
    });
    ranked.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const shown = ranked.slice(0, 12);
    results.replaceChildren(...shown.map(([, place]) => itemRow(place)));
    status.textContent = ranked.length === 0
      ? "No item of this page matches" + (data.found < data.total ? "; it knows " + number(data.found) + " of " + number(data.total) + "." : ".")
      : number(ranked.length) + (ranked.length === 1 ? " item matches" : " items match") + (shown.length < ranked.length ? ", the first " + shown.length + " are shown." : ".");
  }
  document.getElementById("search").addEventListener("input", (event) => search(event.target.value));

  function showCode(id) {
    const panel = document.getElementById("code");
    const known = data.codes[id];
    if (known === undefined) { panel.hidden = true; return; }
    const [sid, items, words, examples] = known;
    const heading = element("h3");
    heading.append(sidElement(sid));
    const parts = [heading, element("p", number(items) + (items === 1 ? " item" : " items") + " of " + number(data.total))];
    if (words.length) {
      const chips = element("ul", undefined, "chips");
      chips.append(...words.map((word) => element("li", word)));
      parts.push(element("h3", "Typical words"), chips);
    }
    if (examples.length) {
      const titles = element("ul");
      titles.append(...examples.map((title) => element("li", title, "title")));
      parts.push(element("h3", "Some of its items"), titles);
    }
    panel.replaceChildren(...parts);
    panel.hidden = false;
    panel.scrollIntoView({ block: "nearest" });
  }

  const first = document.getElementById("first-code");
  const second = document.getElementById("second-code");
  const ids = Object.keys(data.codes);
  function options(select, none, found) {
    select.replaceChildren(new Option(none, ""), ...found.map((id) => new Option(data.codes[id][0] + ", " + number(data.codes[id][1]), id)));
  }
  function choose(id) {
    const top = id.split(".")[0];
    first.value = top in data.codes ? top : "";
    if (second) {
      options(second, "all of it", ids.filter((other) => other.startsWith(top + ".")));
      second.value = id in data.codes && id !== top ? id : "";
    }
    showCode(id);
  }
  options(first, "choose a code", ids.filter((id) => !id.includes(".")));
  if (second) options(second, "all of it", []);

  const drawn = {};
  for (const [name, figure] of Object.entries(charts)) {
    const place = document.getElementById("chart-" + name);
    if (place) drawn[name] = Plotly.newPlot(place, figure.data, figure.layout, { responsive: true, displayModeBar: false });
  }
  if (drawn.map) drawn.map.then((map) => {
    map.on("plotly_treemapclick", (event) => choose(event.points[0].id));
    const pick = (id) => { choose(id); Plotly.restyle(map, { level: id.split(".")[0] || "all" }); };
    first.addEventListener("change", () => pick(first.value));
    if (second) second.addEventListener("change", () => pick(second.value || first.value));
    document.body.dataset.ready = "yes";
  });
})();
