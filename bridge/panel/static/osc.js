// OSC 1.0 messages, as the bridge speaks them on UDP: numbers as i, f, h or d, text as s.

const text = new TextEncoder();
const read = new TextDecoder();

function padded(bytes) {
  const out = new Uint8Array((bytes.length + 4) & ~3); // at least one zero ends a string
  out.set(bytes);
  return out;
}

function argument(value) {
  if (typeof value === "string") return ["s", padded(text.encode(value))];
  if (typeof value === "boolean") return [value ? "T" : "F", new Uint8Array(0)];
  const whole = Number.isInteger(value) && Math.abs(value) < 2 ** 31;
  const bytes = new Uint8Array(whole ? 4 : 8);
  const view = new DataView(bytes.buffer);
  if (whole) view.setInt32(0, value);
  else view.setFloat64(0, value);
  return [whole ? "i" : "d", bytes];
}

/** One message as bytes. Whole numbers go as integers, others as doubles, so that nothing is rounded on the way. */
export function encode(address, args) {
  const parts = args.map(argument);
  const tags = "," + parts.map((part) => part[0]).join("");
  const chunks = [padded(text.encode(address)), padded(text.encode(tags)), ...parts.map((part) => part[1])];
  const out = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** The address and arguments of a message of the bridge. */
export function decode(buffer) {
  const view = new DataView(buffer);
  const bytes = new Uint8Array(buffer);
  let at = 0;
  const string = () => {
    const end = bytes.indexOf(0, at);
    const value = read.decode(bytes.subarray(at, end));
    at = (end + 4) & ~3;
    return value;
  };
  const address = string();
  const args = [];
  for (const tag of string().slice(1)) {
    if (tag === "s") args.push(string());
    else if (tag === "T" || tag === "F") args.push(tag === "T");
    else {
      if (tag === "i") args.push(view.getInt32(at));
      else if (tag === "f") args.push(view.getFloat32(at));
      else if (tag === "d") args.push(view.getFloat64(at));
      else args.push(Number(view.getBigInt64(at)));
      at += tag === "i" || tag === "f" ? 4 : 8;
    }
  }
  return { address, args };
}
