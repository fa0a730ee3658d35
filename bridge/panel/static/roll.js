// Piano rolls on canvas. Notes are drawn when they change, never per frame; what moves is one element, by transform.

const MAX_SCALE = 2;

/** The rows that notes are drawn in: every semitone of the range they use, or only the drums that are struck. */
export function rowsOf(loops, drums) {
  const pitches = loops.flatMap((loop) => loop.notes.map((note) => note[0]));
  if (drums) return [...new Set(pitches)].sort((a, b) => a - b);
  let low = Math.min(...pitches, 127);
  let high = Math.max(...pitches, 0);
  if (low > high) [low, high] = [60, 72];
  const missing = Math.max(0, 14 - (high - low));
  low -= Math.ceil(missing / 2) + 1;
  high += Math.floor(missing / 2) + 1;
  return Array.from({ length: high - low + 1 }, (_, index) => low + index);
}

/** Make the canvas as sharp as the screen; its 2D context in CSS pixels, its width and height. */
export function surface(canvas) {
  const scale = Math.min(MAX_SCALE, window.devicePixelRatio || 1);
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

function grid(pen, width, height, length, barBeats) {
  for (let beat = 0; beat <= length + 1e-6; beat += 1) {
    const bar = Math.abs(beat / barBeats - Math.round(beat / barBeats)) < 1e-6;
    pen.fillStyle = bar ? "rgba(255,255,255,.16)" : "rgba(255,255,255,.055)";
    pen.fillRect(Math.round((beat / length) * (width - 1)), 0, 1, height);
  }
}

function box(pen, x, y, width, height) {
  const round = Math.min(3, height / 3, width / 2);
  pen.beginPath();
  pen.moveTo(x + round, y);
  pen.arcTo(x + width, y, x + width, y + height, round);
  pen.arcTo(x + width, y + height, x, y + height, round);
  pen.arcTo(x, y + height, x, y, round);
  pen.arcTo(x, y, x + width, y, round);
  pen.closePath();
}

function place(note, rows, length, width, height, drums) {
  const row = height / Math.max(rows.length, drums ? 4 : 1);
  const index = rows.indexOf(note[0]);
  const x = (note[1] / length) * width;
  const w = drums ? Math.min(9, Math.max(2.5, (0.17 / length) * width)) : Math.max(3, (note[2] / length) * width - 1);
  const h = Math.max(2, Math.min(row - 1, 16));
  const y = height - (index + 0.5) * row - h / 2;
  return [x, y, w, h];
}

/** Draw a loop `{notes, length}`; `look`: colors by part, hollow (outlines only), barBeats, drums, plain (no grid). */
export function drawLoop(canvas, loop, rows, look) {
  const { pen, width, height } = surface(canvas);
  if (!width || !height) return;
  if (!look.plain) grid(pen, width, height, loop ? loop.length : 8, look.barBeats);
  if (!loop) return;
  for (const note of loop.notes) {
    const [x, y, w, h] = place(note, rows, loop.length, width, height, look.drums);
    pen.globalAlpha = 0.35 + 0.6 * (note[3] / 127);
    pen.fillStyle = look.colors[note[4]];
    pen.strokeStyle = look.colors[note[4]];
    box(pen, x, y, w, h);
    if (look.hollow) {
      pen.globalAlpha *= 0.35;
      pen.fill();
      pen.globalAlpha = 0.95;
      pen.lineWidth = 1.25;
      pen.stroke();
    } else pen.fill();
  }
  pen.globalAlpha = 1;
}

/** The notes that sound at a position, in white over the others; returns their indices as a key. */
export function soundingKey(loop, position) {
  let key = "";
  loop.notes.forEach((note, index) => {
    if (position >= note[1] && position < note[1] + Math.max(note[2], 0.12)) key += index + ",";
  });
  return key;
}

export function drawSounding(canvas, loop, rows, key, look) {
  const { pen, width, height } = surface(canvas);
  pen.fillStyle = "#fff";
  pen.shadowBlur = 10;
  for (const index of key.split(",").slice(0, -1)) {
    pen.shadowColor = look.colors[loop.notes[Number(index)][4]];
    box(pen, ...place(loop.notes[Number(index)], rows, loop.length, width, height, look.drums));
    pen.fill();
  }
  pen.shadowBlur = 0;
}
