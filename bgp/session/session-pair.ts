// The connections of one peer: its first session, which restarts by itself, and a second one, which exists only while
// an incoming connection competes with it, and takes its place when the first is dumped or has no connection (RFC 4271
// §6.8). In: incoming connections, what the two become. Out: which of them matters. Who wins, where both have an OPEN,
// collision.ts says.
import { initialFsm, promote, secondFsm } from "./fsm.ts";
import type { Notification } from "./fsm-types.ts";
import { Session, type SessionOwner } from "./session.ts";
import type { Transport } from "./transport.ts";

const rank = { Idle: 0, Active: 1, Connect: 2, OpenSent: 3, OpenConfirm: 4, Established: 5 } as const;

export class SessionPair {
  readonly #owner: SessionOwner;
  #first: Session;
  #second: Session | null = null;

  constructor(owner: SessionOwner) {
    this.#owner = owner;
    this.#first = new Session(owner, initialFsm);
  }

  get first(): Session {
    return this.#first;
  }

  get second(): Session | null {
    return this.#second;
  }

  /** The one furthest on. */
  get foremost(): Session {
    return this.#second && rank[this.#second.state] > rank[this.#first.state] ? this.#second : this.#first;
  }

  other(session: Session): Session | null {
    return session === this.#first ? this.#second : this.#first;
  }

  accept(transport: Transport): void {
    // The newest of two incoming ones is the live one: a neighbour that restarted has forgotten the other.
    this.#second?.dispatch({ kind: "OpenCollisionDump" });
    const incomplete = this.#first.state === "OpenSent" || this.#first.state === "OpenConfirm";
    if (incomplete && this.#first.transport?.initiator === "remote")
      this.#first.dispatch({ kind: "OpenCollisionDump" });
    if (this.#first.state === "Idle" || this.#first.state === "Active") {
      this.#first.accept(transport);
      return;
    }
    this.#second = new Session(this.#owner, secondFsm);
    this.#second.accept(transport);
  }

  end(notification: Notification | null, reason: string): void {
    const stop = { kind: "ManualStop", notification, reason } as const;
    this.#second?.dispatch(stop);
    this.#first.dispatch(stop);
  }

  /** After a change of state: the second one goes, or takes the place of the first. False: there is none. */
  settle(): boolean {
    const second = this.#second;
    if (!second) return false;
    if (second.state === "Idle") {
      second.dispose();
      this.#second = null;
    } else if (this.#first.waiting && (this.#first.state !== "Connect" || second.state === "Established")) {
      const first = this.#first;
      second.fsm = promote(second.fsm, first.fsm);
      this.#first = second;
      this.#second = null;
      first.dispose();
    }
    return true;
  }
}
