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
    const columns = element("div", undefined, "columns");
    const column = (title, places, empty) => {
      const made = element("section");
      made.append(element("h3", title), list(places, sid, empty));
      columns.append(made);
    };
    column("Closest Semantic IDs", data.alike[place], "No other item shares its first code.");
    column(data.near.length ? "Closest original embeddings" : "Closest embeddings", data.original[place], "There is no other item.");
    if (data.near.length) column("Closest aligned embeddings", data.near[place], "There is no other item.");
    panel.replaceChildren(heading, line, element("p", "item " + id, "soft"),
      element("p", "The first tokens that an item shares with this one are marked. In a good index the lists look alike.", "soft"),
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
      ? "No item found" + (data.found < data.total ? "; you can search " + number(data.found) + " of " + number(data.total) + "." : ".")
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
      options(second, "all", ids.filter((other) => other.startsWith(top + ".")));
      second.value = id in data.codes && id !== top ? id : "";
    }
    showCode(id);
  }
  options(first, "choose a code", ids.filter((id) => !id.includes(".")));
  if (second) options(second, "all", []);

  // Charts take their colours from the stylesheet, which knows light and dark.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function coloured(figure) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue("--" + name).trim();
    const axis = { gridcolor: colour("line"), linecolor: colour("line"), tickcolor: colour("line") };
    const layout = { ...figure.layout, font: { ...figure.layout.font, color: colour("ink") }, plot_bgcolor: colour("wash"),
                     hoverlabel: { font: { size: 13 } } };
    for (const name of ["xaxis", "yaxis"]) if (layout[name]) layout[name] = { ...layout[name], ...axis };
    const traces = figure.data.map((trace) => trace.type !== "treemap" ? trace : { ...trace, marker: { ...trace.marker,
      colorscale: [[0, colour("map-none")], [0.3, colour("map-some")], [1, colour("map-all")]],
      line: { ...trace.marker.line, color: colour("page") } } });
    return [traces, layout, { responsive: true, displayModeBar: false }];
  }
  // Plotly is most of the page: it is read, and a chart drawn, once one comes near the view.
  let plotly = null;
  function load() {
    if (plotly === null) {
      const script = document.createElement("script");
      script.textContent = document.getElementById("plotly").textContent;
      document.head.append(script);
      plotly = window.Plotly;
    }
    return plotly;
  }
  const drawn = new Set();
  function draw(place) {
    if (drawn.has(place)) return;
    drawn.add(place);
    const name = place.id.replace("chart-", "");
    load().newPlot(place, ...coloured(charts[name])).then(() => {
      if (name === "map") place.on("plotly_treemapclick", (event) => choose(event.points[0].id));
    });
  }
  const places = Object.keys(charts).map((name) => document.getElementById("chart-" + name)).filter(Boolean);
  const near = new IntersectionObserver((seen) => {
    for (const one of seen) if (one.isIntersecting) { near.unobserve(one.target); draw(one.target); }
  }, { rootMargin: "400px" });
  places.forEach((place) => near.observe(place));
  addEventListener("beforeprint", () => places.forEach(draw));
  dark.addEventListener("change", () => drawn.forEach((place) => plotly.react(place, ...coloured(charts[place.id.replace("chart-", "")]))));

  const map = document.getElementById("chart-map");
  const pick = (id) => { choose(id); draw(map); plotly.restyle(map, { level: id.split(".")[0] || "all" }); };
  first.addEventListener("change", () => pick(first.value));
  if (second) second.addEventListener("change", () => pick(second.value || first.value));
  const made = new Date(document.lastModified);
  const two = (number) => String(number).padStart(2, "0");
  document.getElementById("made").textContent = made.getFullYear() + "-" + two(made.getMonth() + 1) + "-" + two(made.getDate()) + " " + two(made.getHours()) + ":" + two(made.getMinutes());
  document.body.dataset.ready = "yes";
})();
