// Where everything is in etcd. docs/etcd.md shows the same as a table.
//
//   pools/<pool>                            what the operator wants: CIDRs, block size, exclusions ...
//   blocks/<family>/<prefix>                who has a block: the one key that two nodes must not both write
//   racks/<family>/<prefix>                 which rack fills a range
//   identities/<pool>/<namespace>/<name>    the addresses that a pod keeps
//   nodes/<node>/registration               the node, and the id of its registration
//   nodes/<node>/alive                      under a lease: there while the node renews it
//   nodes/<node>/blocks/<prefix>            the same record as the block's own key, written together with it
//   nodes/<node>/lent/<prefix>/<address>    addresses of the node's blocks that are not the node's to hand out
//   nodes/<node>/borrowed/<address>         the same record as the owner's `lent`, written together with it
//   nodes/<node>/identities/...             the same record as the identity's, while the node has it in its hands
//   removed/<node>                          left by `nodes remove`: for the node, should it come back
//   quarantine/<node>                       its own lease's id, under that lease: what the removed node had in its hands is not given out again yet
//   paused                                  there: nobody claims or borrows (for the time of a restore)
//
// So everything that concerns a node begins with nodes/<node>/: one range reads it, one watch follows it.
import type { Family } from "../../net/address.ts";
import type { KeyRange } from "./etcd/kv.ts";
import { startingWith } from "./etcd/kv.ts";

const DEFAULT_ROOT = "/underlay/v1/";

/** Names come from people: none of them can reach out of its place. Half a surrogate pair is written as U+FFFD. */
const name = (text: string) => encodeURIComponent(Buffer.from(text).toString());

export class Keys {
  readonly root: string;

  constructor(root: string = DEFAULT_ROOT) {
    this.root = root.endsWith("/") ? root : `${root}/`;
  }

  get paused(): string {
    return `${this.root}paused`;
  }

  get pools(): KeyRange {
    return startingWith(`${this.root}pools/`);
  }

  pool(pool: string): string {
    return `${this.root}pools/${name(pool)}`;
  }

  blocks(family: Family): KeyRange {
    return startingWith(`${this.root}blocks/${family}/`);
  }

  block(prefix: string): string {
    return `${this.root}blocks/${familyOf(prefix)}/${prefix}`;
  }

  racks(family: Family): KeyRange {
    return startingWith(`${this.root}racks/${family}/`);
  }

  rack(prefix: string): string {
    return `${this.root}racks/${familyOf(prefix)}/${prefix}`;
  }

  identity(identity: { readonly pool: string; readonly namespace: string; readonly name: string }): string {
    return `${this.root}identities/${name(identity.pool)}/${name(identity.namespace)}/${name(identity.name)}`;
  }

  get nodes(): KeyRange {
    return startingWith(`${this.root}nodes/`);
  }

  node(node: string): KeyRange {
    return startingWith(`${this.root}nodes/${name(node)}/`);
  }

  registration(node: string): string {
    return `${this.root}nodes/${name(node)}/registration`;
  }

  alive(node: string): string {
    return `${this.root}nodes/${name(node)}/alive`;
  }

  nodeBlock(node: string, prefix: string): string {
    return `${this.root}nodes/${name(node)}/blocks/${prefix}`;
  }

  lentOf(node: string, prefix: string): KeyRange {
    return startingWith(`${this.root}nodes/${name(node)}/lent/${prefix}/`);
  }

  lent(node: string, prefix: string, address: string): string {
    return `${this.root}nodes/${name(node)}/lent/${prefix}/${address}`;
  }

  borrowed(node: string, address: string): string {
    return `${this.root}nodes/${name(node)}/borrowed/${address}`;
  }

  nodeIdentity(
    node: string,
    identity: { readonly pool: string; readonly namespace: string; readonly name: string },
  ): string {
    const { pool, namespace, name: of } = identity;
    return `${this.root}nodes/${name(node)}/identities/${name(pool)}/${name(namespace)}/${name(of)}`;
  }

  removed(node: string): string {
    return `${this.root}removed/${name(node)}`;
  }

  quarantine(node: string): string {
    return `${this.root}quarantine/${name(node)}`;
  }

  /** What a key below nodes/ is about; null: none of ours. */
  parseNodeKey(key: string): { readonly node: string; readonly kind: string; readonly rest: string } | null {
    const match = /^nodes\/([^/]+)\/([a-z]+)(?:\/(.*))?$/.exec(
      key.startsWith(this.root) ? key.slice(this.root.length) : "",
    );
    if (!match) return null;
    try {
      return { node: decodeURIComponent(match[1]), kind: match[2], rest: match[3] ?? "" };
    } catch {
      return null;
    }
  }

  /** The prefix that a key below blocks/ or racks/ names. */
  prefixOf(key: string): string {
    return key.slice(this.root.length).split("/").slice(2).join("/");
  }
}

export function familyOf(text: string): Family {
  return text.includes(":") ? 6 : 4;
}
