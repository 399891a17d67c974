"use strict";

const SECONDS = 120;
const COLOURS = ["#2f7ed8", "#e07b00", "#1a9a6c", "#c2388f", "#8a63d2", "#8a8f00"];
const byId = (id) => document.getElementById(id);
const style = () => getComputedStyle(document.documentElement);

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text; // never HTML: labels come from the model
  return made;
}

/* lines: [{name, points: [[seconds, value], ...]}]; a value of null breaks the line. */
function chart(id, lines, now, top) {
  const canvas = byId(id);
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const values = lines.flatMap((line) => line.points.map((p) => p[1])).filter((v) => v !== null);
  const high = top || 1.1 * Math.max(...values, 0) || 1;
  const x = (t) => width - ((now - t) / SECONDS) * width;
  const y = (v) => height - 4 - (v / high) * (height - 20);
  const css = style();
  pen.strokeStyle = css.getPropertyValue("--line");
  pen.fillStyle = css.getPropertyValue("--soft");
  pen.font = "11px system-ui, sans-serif";
  for (const part of [0, 0.5, 1]) {
    pen.beginPath();
    pen.moveTo(0, y(high * part));
    pen.lineTo(width, y(high * part));
    pen.stroke();
    pen.fillText(number(high * part), 2, y(high * part) - 3);
  }
  const legend = canvas.parentElement.querySelector(".legend");
  legend.replaceChildren();
  lines.forEach((line, i) => {
    pen.strokeStyle = COLOURS[i % COLOURS.length];
    pen.lineWidth = 1.5;
    pen.beginPath();
    let down = false;
    for (const [t, v] of line.points) {
      if (v !== null) pen[down ? "lineTo" : "moveTo"](x(t), y(v));
      down = v !== null;
    }
    pen.stroke();
    const last = line.points.length ? line.points[line.points.length - 1][1] : null;
    const name = element("span", `${line.name} ${last === null ? "" : number(last)}`);
    name.style.color = COLOURS[i % COLOURS.length];
    legend.append(name);
  });
}

function number(value) {
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}

function charts(rows) {
  const now = rows.length ? rows[rows.length - 1].t : 0;
  const line = (name, value) => ({ name, points: rows.map((row) => [row.t, value(row)]) });
  const labels = new Map(); // in a fixed order, so that a label keeps its colour
  for (const row of rows) {
    for (const [label, score] of Object.entries(row.scores)) {
      labels.set(label, Math.max(score, labels.get(label) || 0));
    }
  }
  const best = [...labels].sort((a, b) => b[1] - a[1]).slice(0, 6).map((pair) => pair[0]).sort();
  chart("scores", best.map((label) => line(label, (row) => row.scores[label] ?? 0)), now, 1);
  chart("rate", [line("results", (row) => row.rate)], now);
  chart("latency", [
    line("worst", (row) => row.worst || null),
    line("total", (row) => row.latency.total ?? null),
    line("inference", (row) => row.latency.inference ?? null),
  ], now);
  const warm = rows.some((row) => row.temperature !== null);
  byId("temperature").parentElement.hidden = !warm;
  if (warm) chart("temperature", [line("hottest", (row) => row.temperature)], now);
}

function numbers(live) {
  const rows = live.rows;
  const shown = [
    ["results", live.frames],
    ["rate", rows.length ? `${number(rows[rows.length - 1].rate)} / s` : ""],
    ["ms p50 / p95 / p99", `${live.total_ms.map(number).join(" / ")}`],
  ];
  for (const [name, count] of Object.entries(live.dropped)) shown.push([`dropped by ${name}`, count]);
  if (live.reconnects) shown.push(["source came back", `${live.reconnects} times`]);
  if (live.level) shown.push([`doing less (${live.level})`, live.reason]);
  for (const [zone, degrees] of Object.entries(live.temperatures)) shown.push([zone, `${degrees} °C`]);
  shown.push(["running for", duration(live.uptime)]);
  byId("numbers").replaceChildren(
    ...shown.flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
  );
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function events(list) {
  byId("no-events").hidden = list.length > 0;
  byId("events").replaceChildren(...list.map((event) => {
    const item = document.createElement("li");
    item.append(
      element("span", new Date(event.at * 1000).toLocaleTimeString()),
      element("b", event.label),
      element("span", event.score.toFixed(2)),
      element("span", `${event.seconds.toFixed(1)} s`),
    );
    return item;
  }));
}

function state(text, good) {
  byId("state").textContent = text;
  byId("state").className = good ? "good" : "bad";
}

/* Nobody looks at a hidden page, so the device need not encode pictures for it. */
function picture(wanted) {
  const image = byId("picture");
  byId("live").hidden = !wanted;
  const open = wanted && !document.hidden;
  if (open && !image.hasAttribute("src")) image.src = `/video.mjpg?${Date.now()}`;
  if (!open) image.removeAttribute("src");
}

function show(live) {
  document.title = `${live.model || "model"} - edgenn`;
  byId("model").textContent = live.model || "edgenn";
  byId("source").textContent = live.source;
  const late = live.age === null || live.age > 5;
  state(live.age === null ? "waiting for a result" : late ? `no result for ${duration(live.age)}` : "live", !late);
  const seen = live.seen.map(([label, value]) => element("li", `${label} ${value}`));
  byId("seen").replaceChildren(...(seen.length ? seen : [element("li", "nothing")]));
  picture(live.picture);
  numbers(live);
  events(live.events);
  charts(live.rows);
}

async function tick() {
  try {
    const answer = await fetch("/live.json", { signal: AbortSignal.timeout(5000) });
    if (answer.status === 401) return location.reload(); // it says what to do
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
  } catch {
    state("no connection", false);
    picture(false);
  }
  setTimeout(tick, document.hidden ? 5000 : 1000);
}

byId("picture").addEventListener("error", (event) => event.target.removeAttribute("src"));
document.querySelector("details").addEventListener("toggle", async () => {
  if (!byId("card").textContent) byId("card").textContent = await (await fetch("/card.md")).text();
});
tick();
