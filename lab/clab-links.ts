// Links of a topology: two endpoints `node:interface`, on nodes that exist, each interface used once.
import { isMap, isScalar, type Node } from "yaml";
import { entries, items, type Problems } from "./clab-problems.ts";
import type { LabEndpoint, LabLink, LabNode } from "./clab-types.ts";

/** IFNAMSIZ without the closing zero byte. */
const MAX_INTERFACE_NAME = 15;
const interfaceName = /^[^\s/:]+$/;

export function checkLinks(
  problems: Problems,
  node: Node | null,
  nodes: ReadonlyMap<string, LabNode>,
): readonly LabLink[] {
  const used = new Map<string, number>();
  const links: LabLink[] = [];
  for (const [index, item] of items(problems, node, "links").entries()) {
    const what = `links[${index}]`;
    let ends: LabEndpoint[] = [];
    let mtu: number | null = null;
    if (!isMap(item) || !item.has("endpoints")) problems.add(item, `${what} needs endpoints: ["a:eth1", "b:eth1"]`);
    for (const [key, value, pair] of entries(problems, item, what)) {
      if (key === "endpoints") ends = readEndpoints(problems, value, what, nodes);
      else if (key === "mtu") mtu = readMtu(problems, value, what);
      else if (key === "type" && isScalar(value) && value.value === "veth") continue;
      else if (key === "type") problems.add(pair, `${what}: only veth links run without containerlab`);
      else if (key !== "labels" && key !== "vars")
        problems.add(pair, `${what} has the key "${key}", which is not known here; known: endpoints, mtu`);
    }
    for (const end of ends) {
      const name = `${end.node}:${end.interface}`;
      const other = used.get(name);
      if (other !== undefined) problems.add(item, `${what}: ${name} is used by links[${other}] already`);
      used.set(name, index);
    }
    if (ends.length === 2) links.push({ endpoints: [ends[0], ends[1]], mtu });
  }
  return links;
}

function readEndpoints(
  problems: Problems,
  node: Node | null,
  what: string,
  nodes: ReadonlyMap<string, LabNode>,
): LabEndpoint[] {
  const list = items(problems, node, `${what}.endpoints`);
  if (list.length !== 2) problems.add(node, `${what} has ${list.length} endpoints; a link has two`);
  const ends: LabEndpoint[] = [];
  for (const item of list) {
    const text = isScalar(item) ? String(item.value) : "";
    const [name, port, ...rest] = text.split(":");
    const fault =
      !name || !port || rest.length > 0
        ? `"${text}" is not NODE:INTERFACE`
        : !nodes.has(name)
          ? `there is no node "${name}"; nodes: ${[...nodes.keys()].join(", ")}`
          : port.length > MAX_INTERFACE_NAME
            ? `the interface name "${port}" is longer than ${MAX_INTERFACE_NAME} characters`
            : !interfaceName.test(port) || port === "." || port === ".."
              ? `"${port}" is not an interface name`
              : port === "eth0"
                ? `${text}: eth0 is the management interface; links start at eth1`
                : port === "lo"
                  ? `${text}: lo is the loopback interface`
                  : null;
    if (fault) problems.add(item, `${what}: ${fault}`);
    else ends.push({ node: name, interface: port });
  }
  return ends;
}

function readMtu(problems: Problems, node: Node | null, what: string): number | null {
  const value = isScalar(node) ? node.value : null;
  if (typeof value === "number" && Number.isInteger(value) && value >= 68 && value <= 65535) return value;
  problems.add(node, `${what}.mtu must be a number of bytes between 68 and 65535`);
  return null;
}
