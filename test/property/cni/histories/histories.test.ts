// Pods over the life of a node: whatever crashes when, no address is lost and none has two owners, what was
// acknowledged stays, and the kernel agrees with the books. Some of the histories that `npm run histories` plays;
// SEED=n plays one, with its story.
import { afterEach, describe, expect, it, vi } from "vitest";
import { Allocator } from "../../../../cni/ipam/allocator.ts";
import type { DiskFile } from "../../../../cni/ipam/disk.ts";
import { Ledger } from "../../../../cni/ipam/ledger.ts";
import { Store } from "../../../../cni/ipam/store.ts";
import { Locks } from "../../../../cni/locks.ts";
import { range } from "../../fewest.ts";
import type { Mistake } from "./history.ts";
import { firstViolation } from "./search.ts";

const COUNT = 800;

it("keeps every promise in random histories", { timeout: 120_000 }, async () => {
  const seed = Number(process.env.SEED ?? 0);
  expect(await firstViolation(seed > 0 ? [seed] : range(1, COUNT))).toBeNull();
});

/** As many histories as it takes to find out. */
const found = (mistake: Mistake = {}) => firstViolation(range(1, COUNT), mistake);

describe("finds out code that", () => {
  afterEach(() => void vi.restoreAllMocks());

  it("does not sync what it writes", { timeout: 60_000 }, async () => {
    const mistake: Mistake = {
      disk: (disk, simulated) => {
        simulated.lazy = true;
        return disk;
      },
    };
    expect(await found(mistake)).not.toBeNull();
  });

  it("does not sync the directory", { timeout: 60_000 }, async () => {
    const mistake: Mistake = { disk: (disk) => ({ ...disk, syncDirectory: async () => {} }) };
    expect(await found(mistake)).not.toBeNull();
  });

  it("replaces the journal in its place", { timeout: 60_000 }, async () => {
    const inPlace = (path: string) => path.replace(".new", "");
    const mistake: Mistake = {
      disk: (disk) => ({
        ...disk,
        create: (path, mode) => disk.create(inPlace(path), mode),
        rename: async () => {},
      }),
    };
    expect(await found(mistake)).not.toBeNull();
  });

  it("passes over an error of fsync", { timeout: 60_000 }, async () => {
    const deaf = (file: DiskFile): DiskFile => ({
      ...file,
      write: (bytes, position) =>
        file.write(bytes, position).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== "EIO") throw error;
        }),
    });
    const mistake: Mistake = {
      disk: (disk) => ({ ...disk, create: async (path, mode) => deaf(await disk.create(path, mode)) }),
    };
    expect(await found(mistake)).not.toBeNull();
  });

  it("acknowledges before it has written", { timeout: 60_000 }, async () => {
    const { commit } = Store.prototype;
    vi.spyOn(Store.prototype, "commit").mockImplementation(async function (this: Store, operation) {
      commit.call(this, operation).catch(() => undefined);
    });
    expect(await found()).not.toBeNull();
  });

  it("does not write down what is given back", { timeout: 60_000 }, async () => {
    const { commit } = Store.prototype;
    vi.spyOn(Store.prototype, "commit").mockImplementation(async function (this: Store, operation) {
      if (operation.op !== "remove") await commit.call(this, operation);
    });
    expect(await found()).not.toBeNull();
  });

  it("gives addresses back before the pod's interface is gone", { timeout: 60_000 }, async () => {
    const mistake: Mistake = {
      attachments: (attachments) => {
        const remove = attachments.remove.bind(attachments);
        attachments.remove = async (id) => {
          const record = attachments.get(id)?.record;
          if (record) attachments.allocator.release(record.addresses, record.sequence ?? 0);
          await remove(id);
        };
      },
    };
    expect(await found(mistake)).toMatch(/is given to|belongs to/);
  });

  it("forgets to give addresses back", { timeout: 60_000 }, async () => {
    vi.spyOn(Allocator.prototype, "release").mockImplementation(() => {});
    expect(await found()).not.toBeNull();
  });

  it("reads over what was given back", { timeout: 60_000 }, async () => {
    const { apply } = Ledger.prototype;
    vi.spyOn(Ledger.prototype, "apply").mockImplementation(function (this: Ledger, operation) {
      if (operation.op !== "remove") apply.call(this, operation);
    });
    expect(await found()).not.toBeNull();
  });

  it("does not know at its start what is in use", { timeout: 60_000 }, async () => {
    vi.spyOn(Allocator.prototype, "adopt").mockImplementation(() => true);
    expect(await found()).toMatch(/is given to|belongs to/);
  });

  it("does not take pods into the books that only the kernel knows", { timeout: 60_000 }, async () => {
    vi.spyOn(Store.prototype, "adopt").mockImplementation(() => {});
    expect(await found()).not.toBeNull();
  });

  it("does not look into the kernel at its start", { timeout: 60_000 }, async () => {
    const mistake: Mistake = { attacher: (attacher) => ({ ...attacher, list: async () => [] }) };
    expect(await found(mistake)).not.toBeNull();
  });

  it("believes that an interface is gone when it is not", { timeout: 60_000 }, async () => {
    const mistake: Mistake = {
      attacher: (attacher) => ({ ...attacher, detach: (request) => attacher.detach(request).catch(() => null) }),
    };
    expect(await found(mistake)).not.toBeNull();
  });

  it("serves calls for one container at the same time", { timeout: 60_000 }, async () => {
    vi.spyOn(Locks.prototype, "with").mockImplementation((_key, work) => work());
    // It takes two calls at a certain distance: the first history that has them comes late.
    expect(await firstViolation(range(1500, COUNT))).not.toBeNull();
  });
});
