"use strict";
// Matrix products for the third playground, C = A·B with rows one after the other: in WebAssembly with four numbers per
// instruction, and the same in plain JavaScript for the tests in double precision and for browsers without it.
//
// A kernel is { array(length), multiply(m, n, k, A, B, C) }: m must be a multiple of 4, n of 8.
const matmul = (() => {
  const PAGE = 65536;

  function plain(Type) {
    function multiply(m, n, k, A, B, C) {
      for (let i = 0; i < m; i += 4) {
        const a0 = i * k, a1 = a0 + k, a2 = a1 + k, a3 = a2 + k;
        for (let j = 0; j < n; j += 2) {
          let s00 = 0, s01 = 0, s10 = 0, s11 = 0, s20 = 0, s21 = 0, s30 = 0, s31 = 0;
          for (let p = 0, b = j; p < k; p++, b += n) {
            const x = B[b], y = B[b + 1], u = A[a0 + p], v = A[a1 + p], w = A[a2 + p], z = A[a3 + p];
            s00 += u * x; s01 += u * y; s10 += v * x; s11 += v * y;
            s20 += w * x; s21 += w * y; s30 += z * x; s31 += z * y;
          }
          let c = i * n + j;
          C[c] = s00; C[c + 1] = s01; c += n;
          C[c] = s10; C[c + 1] = s11; c += n;
          C[c] = s20; C[c + 1] = s21; c += n;
          C[c] = s30; C[c + 1] = s31;
        }
      }
    }
    return { name: `JavaScript, ${Type.name}`, array: (length) => new Type(length), multiply };
  }

  // A small assembler. Numbers in WebAssembly are LEB128; a section and a vector begin with their length.
  function unsigned(value) {
    return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)];
  }
  const list = (items) => [...unsigned(items.length), ...items.flat()];
  const section = (id, bytes) => [id, ...unsigned(bytes.length), ...bytes];
  const text = (string) => list([...string].map((character) => [character.charCodeAt(0)]));

  const [I32, V128] = [0x7f, 0x7b];
  const get = (local) => [0x20, local], put = (local) => [0x21, local];
  const constant = (value) => [0x41, value]; // 0 … 63
  const ADD = [0x6a], SUBTRACT = [0x6b], TIMES = [0x6c], SHIFT = [0x74], LESS = [0x48], END = [0x0b];
  const loop = (...body) => [0x03, 0x40, ...body.flat(), ...END];
  const AGAIN = [0x0d, 0x00]; // if the value on the stack is not zero
  const vector = (code, ...rest) => [0xfd, ...unsigned(code), ...rest];
  const ZERO = vector(0x0c, ...Array(16).fill(0)), PLUS = vector(228), MULTIPLY = vector(230);
  const load = (offset) => vector(0x00, 4, offset), store = (offset) => vector(0x0b, 4, offset), spread = vector(0x09, 2, 0);
  const times = (x, y) => [...get(x), ...get(y), ...TIMES];
  const bytes = (count) => [...count, ...constant(2), ...SHIFT]; // of so many float32
  const increase = (local, by) => [...get(local), ...by, ...ADD, ...put(local)];

  // multiply(m, n, k, A, B, C) with addresses for matrices: blocks of 4 rows and 8 columns of C are kept in registers.
  function multiplyModule() {
    const [m, n, k, A, B, C, i, j, p, b, c] = Array.from({ length: 11 }, (_, local) => local);
    const rows = [11, 12, 13, 14], sums = [15, 16, 17, 18, 19, 20, 21, 22], left = 23, right = 24, factor = 25;
    const inner = loop(
      get(b), load(0), put(left), get(b), load(16), put(right),
      ...rows.flatMap((row, r) => [
        get(row), spread, put(factor), increase(row, constant(4)),
        ...[left, right].flatMap((half, h) => [
          get(sums[2 * r + h]), get(half), get(factor), MULTIPLY, PLUS, put(sums[2 * r + h]),
        ]),
      ]),
      increase(b, bytes(get(n))),
      get(p), constant(1), SUBTRACT, put(p), get(p), AGAIN,
    );
    const block = loop(
      ...rows.flatMap((row, r) => [
        r ? get(rows[r - 1]) : [...get(A), ...bytes(times(i, k)), ...ADD], ...(r ? [bytes(get(k)), ADD] : []), put(row),
      ]),
      ...sums.flatMap((sum) => [ZERO, put(sum)]),
      get(B), bytes(get(j)), ADD, put(b), get(k), put(p),
      inner,
      get(C), bytes([...times(i, n), ...get(j), ...ADD]), ADD, put(c),
      ...rows.flatMap((_, r) => [
        get(c), get(sums[2 * r]), store(0), get(c), get(sums[2 * r + 1]), store(16), increase(c, bytes(get(n))),
      ]),
      increase(j, constant(8)), get(j), get(n), LESS, AGAIN,
    );
    const body = [
      ...constant(0), ...put(i),
      ...loop(constant(0), put(j), block, increase(i, constant(4)), get(i), get(m), LESS, AGAIN),
      ...END,
    ];
    const locals = list([[9, I32], [11, V128]]);
    return new Uint8Array([
      0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
      ...section(1, list([[0x60, ...list(Array(6).fill([I32])), 0]])), // six addresses and sizes, no result
      ...section(2, list([[...text("e"), ...text("memory"), 0x02, 0x00, 1]])),
      ...section(3, list([[0]])),
      ...section(7, list([[...text("multiply"), 0x00, 0]])),
      ...section(10, list([list([...locals, ...body].map((byte) => [byte]))])),
    ]);
  }

  // A kernel with room for so many float32 numbers, or null where the browser has no such instructions.
  function webAssembly(room) {
    try {
      const memory = new WebAssembly.Memory({ initial: Math.ceil((4 * room) / PAGE) + 1 });
      const module = new WebAssembly.Module(multiplyModule());
      const { multiply } = new WebAssembly.Instance(module, { e: { memory } }).exports;
      let used = 0;
      return {
        name: "WebAssembly, Float32Array",
        array(length) {
          const place = new Float32Array(memory.buffer, used, length);
          used += Math.ceil(length / 4) * 16;
          return place;
        },
        multiply: (m, n, k, A, B, C) => multiply(m, n, k, A.byteOffset, B.byteOffset, C.byteOffset),
      };
    } catch {
      return null;
    }
  }

  const best = (room) => webAssembly(room) ?? plain(Float32Array);

  return { best, plain, webAssembly };
})();
