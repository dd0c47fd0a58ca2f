// The oracle itself: tshark has to find fault with a message that is malformed, or its silence means nothing.
import { afterEach, expect, it } from "vitest";
import { Lab } from "./support/namespace.ts";
import { announce, attributes, KEEPALIVE, message, openMessage } from "./support/raw-peer.ts";

const labs: Lab[] = [];
afterEach(async () => {
  for (const lab of labs.splice(0)) await lab.close();
});

/** What tshark says about these messages, sent by one node to another that takes them and says nothing. */
async function read(...messages: Uint8Array[]) {
  const lab = new Lab("capture");
  labs.push(lab);
  const [us, them] = [lab.addNode("us"), lab.addNode("them")];
  lab.link(
    { node: us, name: "eth0", addresses: ["10.1.0.1/24"] },
    { node: them, name: "eth0", addresses: ["10.1.0.2/24"] },
  );
  const listen = "require('net').createServer((s) => s.resume()).listen(179, () => console.log('ready'))";
  const server = them.spawn(process.execPath, ["-e", listen], { stdio: ["ignore", "pipe", "ignore"] });
  await new Promise((resolve) => server.stdout?.once("data", resolve));
  us.capture();
  const bytes = Buffer.concat(messages).toString("hex");
  const send = `const s = require('net').connect(179, '10.1.0.2', () => s.end(Buffer.from('${bytes}', 'hex')))`;
  await us.exec(process.execPath, "-e", send);
  return us.endCapture();
}

it("has nothing to say about messages as they should be", async () => {
  expect(await read(openMessage(), KEEPALIVE, announce(0, 3))).toMatchObject({ messages: 3, faults: [] });
});

it.each([
  [
    "an AS path whose segment reaches past its end",
    announce(0, 3, [0x40, 1, 1, 0, 0x40, 2, 6, 2, 9, 0, 0, 1, 1, 0x40, 3, 4, 10, 1, 0, 1]),
  ],
  ["attributes that reach past the message", message(2, [0, 0, 0, 99, ...attributes()])],
  ["a prefix that reaches past the message", message(2, [0, 0, 0, attributes().length, ...attributes(), 32, 10, 0])],
])("finds fault with %s", async (_, malformed) => {
  const report = await read(openMessage(), KEEPALIVE, malformed);
  expect(report?.faults.length).toBeGreaterThan(0);
});
