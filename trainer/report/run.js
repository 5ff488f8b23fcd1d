"use strict";
// Draws the boards of the page and moves them with their sliders. What it draws lies beside each as JSON.
(() => {
  const FILLED = 1, CHANGED = 2, WRONG = 4, NONE = 255, SIZE = 20;
  const PLAY = 350; // milliseconds for a step

  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

  const svg = (name, attributes, text) => {
    const e = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
    if (text !== undefined) e.textContent = text;
    return e;
  };

  const count = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

  // glyph is what a token is called where it is not seen.
  const glyph = (board, token) => (token === NONE ? "no label" : (board.cells[token] || {}).text || `token ${token}`);

  function drawCell(board, parts, i, token, mark, puzzle) {
    const look = token === NONE ? { fill: "none" } : board.cells[token] || { fill: "#d23c3c", text: "?" };
    const x = (i % board.width) * SIZE, y = Math.floor(i / board.width) * SIZE;
    const cell = svg("g", { "data-cell": i });
    const fill = look.fill ? { fill: look.fill } : { class: puzzle && look.text && puzzle[i] === token ? "given" : "paper" };
    cell.append(svg("rect", { x, y, width: SIZE, height: SIZE, ...fill }));
    if (look.text) {
      const label = svg("text", { x: x + SIZE / 2, y: y + SIZE / 2 + 0.5 }, look.text);
      if (look.ink) label.style.fill = look.ink;
      else if (mark & WRONG) label.setAttribute("class", "bad");
      else if (mark & FILLED) label.setAttribute("class", "filled");
      cell.append(label);
    }
    parts.cells.append(cell);
    if (mark & CHANGED) parts.marks.append(svg("path", { class: "changed", d: `M${x + SIZE - 7} ${y + 0.6}h6.4v6.4z` }));
    if (mark & WRONG) {
      parts.marks.append(svg("rect", { class: "wrong", x: x + 1.2, y: y + 1.2, width: SIZE - 2.4, height: SIZE - 2.4 }));
      if (!look.text) {
        const d = `M${x + 6} ${y + 6}l8 8M${x + 14} ${y + 6}l-8 8`;
        parts.marks.append(svg("path", { class: "halo", d }), svg("path", { class: "cross", d }));
      }
    }
    return cell;
  }

  function drawLines(board) {
    const w = board.width * SIZE, h = board.height * SIZE;
    let thin = "", heavy = `M0 0h${w}v${h}h${-w}z`;
    for (let x = 1; x < board.width; x++) board.box && x % board.box === 0 ? (heavy += `M${x * SIZE} 0v${h}`) : (thin += `M${x * SIZE} 0v${h}`);
    for (let y = 1; y < board.height; y++) board.box && y % board.box === 0 ? (heavy += `M0 ${y * SIZE}h${w}`) : (thin += `M0 ${y * SIZE}h${w}`);
    return [svg("path", { class: "grid", d: thin }), svg("path", { class: "frame", d: heavy })];
  }

  function drawBoard(element, board, tokens, options = {}) {
    const { marks, confidence, puzzle, label } = options;
    const parts = { cells: svg("g", {}), marks: svg("g", {}) };
    tokens.forEach((token, i) => {
      const cell = drawCell(board, parts, i, token, marks ? marks[i] : 0, puzzle);
      if (confidence && document.getElementById("fade").checked) cell.style.opacity = 0.4 + (0.6 * confidence[i]) / 255;
    });
    element.setAttribute("viewBox", `-1 -1 ${board.width * SIZE + 2} ${board.height * SIZE + 2}`);
    element.setAttribute("aria-label", label);
    element.replaceChildren(parts.cells, ...drawLines(board), parts.marks);
  }

  // spell reads a board out, row by row.
  function spell(board, tokens) {
    const rows = [];
    for (let y = 0; y < board.height; y++) {
      rows.push(Array.from(tokens.slice(y * board.width, (y + 1) * board.width), (t) => (t !== NONE && (board.cells[t] || {}).text) || (t === NONE ? "-" : board.box ? "blank" : t)).join(" "));
    }
    return rows.join("; ");
  }

  function describe(board, frame, solution) {
    const wrong = [];
    frame.marks.forEach((m, i) => {
      if (m & WRONG) wrong.push(`row ${Math.floor(i / board.width) + 1} column ${(i % board.width) + 1} is ${glyph(board, frame.answer[i])}, should be ${glyph(board, solution[i])}`);
    });
    if (!solution) return `Answer at this step: ${count(frame.changed, "cell")} changed.`;
    if (wrong.length === 0) return "Answer at this step: every cell is right.";
    const more = wrong.length > 10 ? `; and ${wrong.length - 10} more` : "";
    return `Answer at this step: ${count(wrong.length, "wrong cell")}: ${wrong.slice(0, 10).join("; ")}${more}.`;
  }

  const place = (f) => `segment ${f.segment}, cycle ${f.cycle}, step ${f.step}`;

  function sentence(f) {
    let text = `${place(f)}: ${count(f.changed, "cell")} changed`;
    if (f.wrong !== undefined) text += `, ${f.wrong} wrong`;
    const sure = f.confidence.reduce((a, b) => a + b, 0) / f.confidence.length / 255;
    text += `, tokens ${(100 * sure).toFixed(1)} % sure`;
    if (f.halting !== undefined) text += `, confidence in the answer ${(100 * f.halting).toFixed(1)} %`;
    if (f.halts) text += ", halts here";
    return text;
  }

  function replay(article) {
    const { board, frames } = JSON.parse(article.querySelector("script").textContent);
    const slider = article.querySelector("input[type=range]"), output = article.querySelector("output"), play = article.querySelector("[data-do=play]");
    const puzzle = bytes(board.puzzle), solution = board.solution && bytes(board.solution);
    for (const f of frames) {
      f.answer = bytes(f.answer);
      f.marks = bytes(f.marks);
      f.confidence = bytes(f.confidence);
    }
    const show = (name) => article.querySelector(`[data-show=${name}]`);
    drawBoard(show("puzzle"), board, puzzle, { puzzle, label: `Puzzle, row by row: ${spell(board, puzzle)}` });
    if (solution) drawBoard(show("solution"), board, solution, { puzzle, label: `Solution, row by row: ${spell(board, solution)}` });

    const chart = article.querySelector(".trend svg"), cursor = svg("path", { class: "cursor" });
    chart.append(cursor);
    // The plot of the chart, as its Go code lays it out.
    const from = 62, to = 546;

    function go(i) {
      const f = frames[i];
      slider.value = i;
      slider.setAttribute("aria-valuetext", `${place(f)}${f.wrong === undefined ? "" : `, ${f.wrong} wrong`}`);
      output.textContent = sentence(f);
      drawBoard(show("answer"), board, f.answer, { marks: f.marks, confidence: f.confidence, puzzle, label: describe(board, f, solution) });
      const x = frames.length > 1 ? from + (i / (frames.length - 1)) * (to - from) : (from + to) / 2;
      cursor.setAttribute("d", `M${x} 14V208`);
    }
    const at = () => Number(slider.value);
    const on = () => { const i = frames.findIndex((f, i) => i > at() && f.end); return i < 0 ? frames.length - 1 : i; };
    const back = () => Math.max(0, frames.findLastIndex((f, i) => i < at() && f.end));

    let timer = 0;
    function stop() {
      clearInterval(timer);
      timer = 0;
      play.setAttribute("aria-pressed", "false");
      play.textContent = "Play";
      output.setAttribute("aria-live", "polite");
    }
    function toggle() {
      if (timer) return stop();
      if (at() === frames.length - 1) go(0);
      play.setAttribute("aria-pressed", "true");
      play.textContent = "Pause";
      output.setAttribute("aria-live", "off"); // nobody can listen that fast
      timer = setInterval(() => { at() < frames.length - 1 ? go(at() + 1) : stop(); }, PLAY);
    }
    slider.addEventListener("input", () => { stop(); go(at()); });
    slider.addEventListener("keydown", (e) => {
      const jump = { PageUp: on, PageDown: back }[e.key];
      if (!jump) return;
      e.preventDefault();
      stop();
      go(jump());
    });
    const does = { play: toggle, on: () => { stop(); go(on()); }, back: () => { stop(); go(back()); } };
    for (const button of article.querySelectorAll("button")) button.addEventListener("click", does[button.dataset.do]);
    document.getElementById("fade").addEventListener("change", () => go(at()));
    go(0);
  }

  document.querySelectorAll(".replay").forEach(replay);
})();
