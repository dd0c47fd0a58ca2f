// When the kernel itself acts on router advertisements (net.ipv6.conf.*.accept_ra).
import { expect, it } from "vitest";
import { acceptRaWarning } from "../../../daemon/accept-ra.ts";

it.each([
  ["0", "0", false],
  ["0", "1", false],
  ["1", "0", true],
  ["1", "1", false],
  ["2", "0", true],
  ["2", "1", true],
])("accept_ra %s with forwarding %s: %s", (accepts, forwarding, warns) => {
  const warning = acceptRaWarning("eth1", (path) =>
    path === "/proc/sys/net/ipv6/conf/eth1/accept_ra" ? accepts : forwarding,
  );
  if (warns) expect(warning).toContain("net.ipv6.conf.eth1.accept_ra=0");
  else expect(warning).toBeNull();
});

it("says nothing about an interface that is not there", () => {
  expect(acceptRaWarning("no-such-device0")).toBeNull();
});
