// A session with a clock that moves when told to, and the packets it sent.
import type { BfdState, ControlPacket } from "../../../../bgp/bfd/packet.ts";
import { BfdSession, type BfdTiming, type StateChange } from "../../../../bgp/bfd/session.ts";
import { ManualClock } from "../session/support.ts";

export { ManualClock };

/** What a neighbour with 300 ms x 3 says. */
export const packet = (state: BfdState, more: Partial<ControlPacket> = {}): ControlPacket => ({
  state,
  diagnostic: 0,
  poll: false,
  final: false,
  controlPlaneIndependent: false,
  demand: false,
  detectMultiplier: 3,
  myDiscriminator: 7,
  yourDiscriminator: 1,
  desiredMinTx: state === "Up" ? 300_000 : 1_000_000,
  requiredMinRx: 300_000,
  requiredMinEchoRx: 0,
  ...more,
});

export class TestSession {
  readonly clock = new ManualClock();
  readonly sent: (ControlPacket & { readonly at: number })[] = [];
  readonly changes: StateChange[] = [];
  readonly session: BfdSession;
  /** Handed over when the session is about to expire. */
  waiting: ControlPacket[] = [];

  constructor(timing: BfdTiming = { interval: 300, multiplier: 3 }, random: () => number = () => 1) {
    this.session = new BfdSession(1, timing, {
      clock: this.clock,
      random,
      send: (sent) => this.sent.push({ ...sent, at: this.clock.now() }),
      stateChanged: (change) => this.changes.push(change),
      catchUp: () => {
        for (const late of this.waiting.splice(0)) this.session.receive(late);
      },
    });
    this.session.start();
  }

  /** Brought to a state the way a neighbour would. */
  to(state: BfdState): this {
    if (state === "Init" || state === "Up") this.session.receive(packet("Down"));
    if (state === "Up") this.session.receive(packet("Up", { final: true }));
    if (state === "Up") this.session.receive(packet("Up", { final: true }));
    if (state === "AdminDown") this.session.shutdown();
    return this;
  }

  /** The neighbour goes on talking every `every` ms for `ms`. */
  talk(ms: number, every: number, said: ControlPacket): void {
    for (let passed = 0; passed < ms; passed += every) {
      this.clock.advance(every);
      this.session.receive(said);
    }
  }
}
