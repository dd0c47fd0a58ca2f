// The unit files, as far as one can tell without systemd running; where it is installed, its own checker reads them.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";

const directory = join(import.meta.dirname, "../../../daemon/systemd");
const units = readdirSync(directory).filter((name) => name.endsWith(".service"));
const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;

const lines = (unit: string) => readFileSync(join(directory, unit), "utf8").split("\n");

it("withdraws before a shutdown of the system, and not for a stop by hand", () => {
  const unit = lines("underlay-shutdown.service");
  // Stopped in the reverse order of the start: before the daemon, and before the network.
  expect(unit).toContain("After=underlayd.service network.target");
  expect(unit).toContain("RemainAfterExit=yes");
  expect(unit).toContain("ExecStop=-/usr/local/bin/underlayctl shutdown");
  expect(unit).toContain("RefuseManualStop=yes");
  // Nothing that would stop it together with the daemon, nor keep it from being stopped with the system.
  expect(unit.join("\n")).not.toMatch(/^(PartOf|BindsTo|Requires|DefaultDependencies)=/m);
  expect(lines("underlayd.service")).toContain("Wants=network.target underlay-shutdown.service");
  expect(lines("underlayd.service").join("\n")).not.toMatch(/^ExecStop=/m);
});

it.runIf(hasSystemd)("satisfies systemd-analyze verify", () => {
  const copies = mkdtempSync(join(tmpdir(), "units-"));
  try {
    // The programs are not installed here, and it looks for them.
    for (const unit of units)
      writeFileSync(
        join(copies, unit),
        lines(unit)
          .join("\n")
          .replaceAll(/\/usr\/local\/bin\/\w+/g, "/usr/bin/true"),
      );
    const { status, stderr } = spawnSync("systemd-analyze", ["verify", ...units.map((unit) => join(copies, unit))], {
      encoding: "utf8",
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  } finally {
    rmSync(copies, { recursive: true });
  }
});
