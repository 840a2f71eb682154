// Draws the figures of a report with Observable Plot. Every kind of figure has a function; its data are as figures.go makes them.
"use strict";
(() => {
  const colours = Array.from({length: 12}, (_, i) => `var(--c${i + 1})`);
  const width = 1300;

  const trim = (n) => String(Number(n.toPrecision(3)));
  const whole = (n) => (Math.abs(n) >= 100 ? Math.round(n).toLocaleString("en") : trim(n));
  // A time in microseconds, for people.
  const time = (us) => (us >= 1e6 ? trim(us / 1e6) + " s" : us >= 1e3 ? trim(us / 1e3) + " ms" : us >= 1 || us === 0 ? trim(us) + " us" : trim(us * 1e3) + " ns");
  // The percentile that all but one in x messages are: 99.9 for 1,000.
  const percentile = (x) => {
    const nines = Math.log10(x);
    return (100 * (1 - 1 / x)).toFixed(Math.max(0, Math.ceil(nines - 1e-9) - 2)).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
  };

  const flat = (figure) => figure.series.flatMap((s) => s.points.map((p) => ({...p, label: s.label, floor: Boolean(s.floor)})));
  const scaleOf = (figure) => {
    let used = 0, floors = 0;
    const grounds = ["var(--floor)", "var(--c10)", "var(--c11)", "var(--c9)"];
    return {
      domain: figure.series.map((s) => s.label), legend: figure.series.length > 1,
      range: figure.series.map((s) => (s.floor ? grounds[floors++ % grounds.length] : colours[used++ % colours.length])),
    };
  };
  // Bounds of a log scale that leave nothing on its edge.
  const bounds = (values) => {
    const positive = values.filter((v) => v > 0); // which NaN is not
    if (positive.length === 0) return [0.1, 10];
    return [Math.min(...positive) / 1.25, Math.max(...positive) * 1.25];
  };
  const times = (points, more = {}) => ({type: "log", domain: bounds(points.map((p) => p.y)), label: "time", tickFormat: time, ticks: 6, grid: true, ...more});
  const base = (more) => ({width, height: 420, marginLeft: 64, marginRight: 24, marginTop: 26, marginBottom: 42, ...more});

  const draw = {
    curves(figure) {
      const points = flat(figure);
      const most = Math.max(10, ...points.map((p) => p.x));
      const nines = [];
      for (let x = 1; x <= most; x *= 10) nines.push(x);
      return [Plot.plot(base({
        x: {type: "log", domain: [1, most], ticks: [...nines, 2], tickFormat: percentile, label: "percentile", grid: true},
        y: times(points), color: scaleOf(figure),
        marks: [
          Plot.line(points.filter((p) => p.floor), {x: "x", y: "y", stroke: "label", z: "label", strokeWidth: 1.5, strokeDasharray: "5 4"}),
          Plot.line(points.filter((p) => !p.floor), {x: "x", y: "y", stroke: "label", z: "label", strokeWidth: 2}),
          Plot.tip(points, Plot.pointer({x: "x", y: "y", title: (p) => `${p.label}\n${percentile(p.x)} %: ${time(p.y)}`})),
        ],
      }))];
    },

    timeline(figure) {
      const marks = figure.marks ?? [], end = Math.max(0.1, ...flat(figure).map((p) => p.until), ...marks.map((m) => m.x));
      // An interval is a level stretch of a line; where nothing was due, there is none.
      const points = figure.series.flatMap((s) => s.points.flatMap((p, i) => {
        const stretch = [{...p, label: s.label}, {...p, x: p.until, label: s.label}], next = s.points[i + 1];
        return next && next.x > p.until + 1e-6 ? [...stretch, {x: p.until, y: NaN, label: s.label}] : stretch;
      }));
      const events = marks.filter((m) => !m.what.startsWith("start")), few = marks.length <= 24;
      let last = -Infinity;
      const named = marks.filter((m) => m.x - last > end / 60 && ((last = m.x), true));
      return [Plot.plot(base({
        height: 380, marginTop: 30,
        x: {label: figure.x, grid: false, domain: [0, end]},
        y: times(points),
        color: {domain: ["p50", "p99", "max"], range: [colours[0], colours[1], "var(--floor)"], legend: true},
        marks: [
          Plot.ruleX(marks, {x: "x", stroke: (m) => (events.includes(m) ? "var(--event)" : "var(--floor)"), strokeDasharray: few ? "4 3" : null,
            strokeWidth: few ? 1.5 : 0.5, className: "marks"}),
          Plot.line(points, {x: "x", y: "y", stroke: "label", z: "label", strokeWidth: 1.6}),
          few ? Plot.text(named, {x: "x", text: "what", frameAnchor: "top", rotate: -90, textAnchor: "end", dx: 8, dy: 4, className: "marked",
            fill: (m) => (events.includes(m) ? "var(--event)" : "var(--floor)"), stroke: "var(--panel)", strokeWidth: 4}) : null,
          Plot.tip(points, Plot.pointerX({x: "x", y: "y", title: (p) => `${p.label} at ${p.x} s: ${time(p.y)}`})),
        ],
      }))];
    },

    stages(figure) {
      return figure.series.map((s) => {
        const sums = (p) => p.name === "leader" || p.name === "round trip";
        const part = document.createElement("div");
        part.append(Object.assign(document.createElement("h3"), {textContent: `${s.label}, microseconds`}));
        part.append(Plot.plot({
          width: width / 2 - 10, height: 40 + 30 * s.points.length, marginLeft: 90, marginRight: 70, marginBottom: 36,
          x: {label: null, grid: true, ticks: 5, domain: [0, Math.max(1e-3, ...s.points.map((p) => p.y))]}, y: {label: null, domain: s.points.map((p) => p.name)},
          marks: [
            Plot.barX(s.points, {x: "y", y: "name", fill: (p) => (sums(p) ? "var(--floor)" : colours[0])}),
            Plot.text(s.points, {x: "y", y: "name", text: (p) => time(p.y), textAnchor: "start", dx: 4}),
            Plot.ruleX([0]),
          ],
        }));
        return part;
      });
    },

    ladder(figure) {
      const points = flat(figure);
      return [Plot.plot(base({
        height: 360, marginBottom: 46, x: {type: "point", domain: figure.series[0].points.map((p) => p.name), label: "guarantee", padding: 0.5},
        y: times(points), color: scaleOf(figure),
        marks: [
          Plot.line(points, {x: "name", y: "y", stroke: "label", z: "label", strokeWidth: 2}),
          Plot.dot(points, {x: "name", y: "y", fill: "label", r: 4}),
          Plot.text(points, {x: "name", y: "y", text: (p) => time(p.y), dy: -12, fill: "label"}),
        ],
      }))];
    },

    ratio(figure) {
      const names = figure.series.map((s) => s.label);
      const points = flat(figure), medians = points.filter((p) => p.name === "median"), rounds = points.filter((p) => p.name !== "median");
      return [Plot.plot({
        width, height: 60 + 32 * names.length, marginLeft: Math.min(560, 16 + 6.7 * Math.max(...names.map((n) => n.length))), marginRight: 70, marginBottom: 40,
        x: {label: "times the floor", grid: true, domain: [0, 1.05 * Math.max(1, ...points.map((p) => p.y))]}, y: {label: null, domain: names},
        marks: [
          Plot.barX(medians, {x: "y", y: "label", fill: colours[0], fillOpacity: 0.75, insetTop: 3, insetBottom: 3}),
          Plot.dot(rounds, {x: "y", y: "label", r: 3.5, stroke: "currentColor", fill: "var(--panel)", tip: true, title: (p) => `${p.name}: ${trim(p.y)}`}),
          Plot.text(medians, {x: (p) => Math.max(...points.filter((q) => q.label === p.label).map((q) => q.y)), y: "label", text: (p) => trim(p.y) + " x",
            textAnchor: "start", dx: 8, fontWeight: 600}),
          Plot.ruleX([1], {stroke: "var(--event)", strokeDasharray: "4 3"}),
        ],
      })];
    },

    rates(figure) {
      const points = flat(figure), marks = figure.marks ?? [];
      return [Plot.plot(base({
        x: {type: "log", label: figure.x, grid: true, tickFormat: whole, ticks: 6, domain: bounds([...points, ...marks].map((p) => p.x))},
        y: times(points), color: scaleOf(figure),
        marks: [
          Plot.ruleX(marks, {x: "x", stroke: "var(--c3)", strokeDasharray: "4 3", strokeWidth: 1.5, className: "marks"}),
          Plot.text(marks.slice(0, 1), {x: "x", text: "what", frameAnchor: "top", textAnchor: "end", dx: -6, dy: 4, fill: "var(--c3)"}),
          Plot.line(points, {x: "x", y: "y", stroke: "label", z: "label", sort: "x", strokeOpacity: 0.5}),
          Plot.dot(points.filter((p) => !p.lost), {x: "x", y: "y", fill: "label", r: 4}),
          Plot.dot(points.filter((p) => p.lost), {x: "x", y: "y", stroke: "label", symbol: "times", r: 5, strokeWidth: 2}),
          Plot.tip(points, Plot.pointer({x: "x", y: "y", title: (p) => `${whole(p.x)}/s: ${p.label} ${time(p.y)}${p.lost ? `, ${p.lost} lost` : ""}`})),
        ],
      }))];
    },

    over(figure) {
      const points = flat(figure);
      return [Plot.plot(base({
        x: {type: "log", label: figure.x, grid: true, tickFormat: whole, ticks: figure.series[0].points.length > 8 ? 8 : [...new Set(points.map((p) => p.x))],
          domain: bounds(points.map((p) => p.x))},
        y: times(points), color: scaleOf(figure),
        marks: [
          Plot.line(points, {x: "x", y: "y", stroke: "label", z: "label", strokeWidth: 2}),
          Plot.dot(points, {x: "x", y: "y", fill: "label", r: 4}),
          Plot.tip(points, Plot.pointer({x: "x", y: "y", title: (p) => `${whole(p.x)}: ${p.label} ${time(p.y)}`})),
        ],
      }))];
    },
  };

  let drawn = 0, failed = 0;
  for (const figure of JSON.parse(document.getElementById("figures").textContent)) {
    const chart = document.querySelector(`#${figure.id} .chart`);
    try {
      chart.replaceChildren(...draw[figure.kind](figure));
      drawn++;
    } catch (error) {
      failed++;
      chart.replaceChildren(Object.assign(document.createElement("p"), {className: "failed", textContent: `This chart could not be drawn: ${error.message}`}));
    }
  }
  Object.assign(document.documentElement.dataset, {drawn, failed, height: document.documentElement.scrollHeight});
})();
