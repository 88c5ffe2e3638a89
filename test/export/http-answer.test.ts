import { describe, expect, test } from "vitest";
import { MAX_RESPONSE_BYTES } from "../../src/export/exchange.ts";
import { HttpAnswer } from "../../src/export/http-answer.ts";

const CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/** What is read of `text` that arrives in pieces of so many bytes, and the connection's end if `isClosed`. */
function read(text: string, pieceLength: number, isClosed: boolean = false): HttpAnswer {
  const answer = new HttpAnswer();
  // As a socket's buffer is, which is written over.
  const buffer = Buffer.alloc(pieceLength);
  const bytes = Buffer.from(text, "latin1");
  for (let at = 0; at < bytes.length; at += pieceLength) {
    const count = bytes.copy(buffer, 0, at, at + pieceLength);
    answer.push(buffer.subarray(0, count));
  }
  if (isClosed) answer.end();
  return answer;
}

interface Expected {
  status?: number;
  statusMessage?: string;
  body?: string;
  isReusable?: boolean;
}

const whole: Array<[what: string, text: string, expected: Expected]> = [
  [
    "a length",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    { status: 200, statusMessage: "OK", body: "hello", isReusable: true },
  ],
  ["no body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", { body: "", isReusable: true }],
  ["a status without a body", "HTTP/1.1 204 No Content\r\n\r\n", { status: 204, body: "", isReusable: true }],
  ["a status without a reason", "HTTP/1.1 503\r\ncontent-length: 0\r\n\r\n", { status: 503, statusMessage: "" }],
  ["chunks", `${CHUNKED}5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n`, { body: "hello!", isReusable: true }],
  [
    "chunks with trailers",
    `${CHUNKED}A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n`,
    { body: "0123456789", isReusable: true },
  ],
  [
    "chunks where there is a length, too (RFC 9112 §6.3)",
    "HTTP/1.1 200 OK\r\ncontent-length: 99\r\ntransfer-encoding: gzip, Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    { body: "a", isReusable: true },
  ],
  [
    "what comes before the answer",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </>\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok",
    { status: 202, body: "ok", isReusable: true },
  ],
  [
    "a last answer",
    "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 1\r\n\r\na",
    { body: "a", isReusable: false },
  ],
  ["an old server", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", { body: "a", isReusable: false }],
  [
    "an old server that stays",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
    { body: "a", isReusable: true },
  ],
  ["more than was asked for", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", { body: "a" }],
];

describe.each([1, 2, 3, 7, 64, 4096])("in pieces of %i bytes", (pieceLength) => {
  test.each(whole)("%s", (_what, text, { body, ...expected }) => {
    const answer = read(text, pieceLength);
    expect(answer).toMatchObject({ isComplete: true, ...expected });
    if (body !== undefined) expect(answer.body.toString()).toBe(body);
  });

  test("a body without a length ends with the connection", () => {
    const text = "HTTP/1.1 200 OK\r\n\r\nuntil the end";
    expect(read(text, pieceLength)).toMatchObject({ isComplete: false });
    const answer = read(text, pieceLength, true);
    expect(answer).toMatchObject({ isComplete: true, isReusable: false });
    expect(answer.body.toString()).toBe("until the end");
  });

  test.each([
    ["in its head", "HTTP/1.1 200 OK\r\ncontent-le"],
    ["in its body", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"],
    ["in a chunk", `${CHUNKED}5\r\nhe`],
    ["before the last chunk", `${CHUNKED}5\r\nhello\r\n`],
    ["after a first status", "HTTP/1.1 100 Continue\r\n\r\n"],
  ])("one that breaks off %s is not whole", (_where, text) => {
    expect(read(text, pieceLength, true).isComplete).toBe(false);
  });

  test.each([
    ["HTTP/2", "\u0000\u0000\u0012\u0004\u0000\u0000\u0000\u0000\u0000", "does not speak HTTP/1.1"],
    ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n", "does not speak HTTP/1.1"],
    ["a status that is none", "HTTP/1.1 OK\r\n\r\n", "does not speak HTTP/1.1"],
    ["a chunk without a size", `${CHUNKED}\r\n\r\n`, "chunk without a size"],
    ["a chunk of a size that is none", `${CHUNKED}-5\r\nhello\r\n`, "chunk without a size"],
  ])("%s is refused", (_what, text, reason) => {
    expect(() => read(text, pieceLength)).toThrow(reason);
  });
});

test("names of headers are in lower case, their values without spaces around", () => {
  const { headers } = read("HTTP/1.1 200 OK\r\nRetry-After:  7 \r\nX-A:\r\nno header\r\ncontent-length: 0\r\n\r\n", 9);
  expect(headers).toEqual({ "retry-after": "7", "x-a": "", "content-length": "0" });
});

test.each([
  ["a head", "HTTP/1.1 200 OK\r\n", "x-filler: 1\r\n"],
  ["a status line", "HTTP/1.1 200 ", "O"],
  ["the line of a chunk", `${CHUNKED}5;`, "x"],
])("%s without an end is not kept", (_what, start, filler) => {
  expect(() => read(start + filler.repeat(40_000), 1000)).toThrow("without an end");
});

test.each([
  ["of a length", `HTTP/1.1 200 OK\r\ncontent-length: ${MAX_RESPONSE_BYTES + 1}\r\n\r\n`, ""],
  ["without one", "HTTP/1.1 200 OK\r\n\r\n", ""],
  ["in chunks", CHUNKED, `${(MAX_RESPONSE_BYTES + 1).toString(16)}\r\n`],
])("a body over 4 MiB %s is refused", (_what, head, chunkHead) => {
  const body = "x".repeat(MAX_RESPONSE_BYTES + 1);
  expect(() => read(head + chunkHead + body, 65_536)).toThrow("longer than 4194304 bytes");
  expect(() => read(head + chunkHead + body.slice(1), 65_536)).not.toThrow();
});
