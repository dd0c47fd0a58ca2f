// Who else has an address that has an owner: a fault of a former run, found at a start. In: second owners, and what any
// of them gives back. Out: who has the address next.
import type { Owner } from "./block.ts";

export class Contenders {
  readonly #byAddress = new Map<string, Owner[]>();

  add(address: string, owner: Owner): void {
    this.#byAddress.set(address, [...(this.#byAddress.get(address) ?? []), owner]);
  }

  /** The allocation of this sequence has given the address back. */
  leave(address: string, sequence: number): void {
    const owners = this.#byAddress.get(address);
    if (owners)
      this.#byAddress.set(
        address,
        owners.filter((owner) => owner.sequence !== sequence),
      );
  }

  /** Takes out and returns the first of those that are left; undefined: nobody is. */
  next(address: string): Owner | undefined {
    const heir = this.#byAddress.get(address)?.shift();
    if (!heir) this.#byAddress.delete(address);
    return heir;
  }
}
