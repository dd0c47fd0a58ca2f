// What is known of a route when the kernel turns out not to have it.
import { expect, it } from "vitest";
import { parseAddress } from "../../../net/address.ts";
import { Routes } from "../../../routing/fib/routes.ts";

it("a route whose removal got no answer, and that a dump does not show, is for the writer: it is still listed as failed", () => {
  const routes = new Routes();
  const table = routes.table(4, 7100);
  const id = table.intern(parseAddress("10.1.0.0")!, 0, 16);
  routes.setKernel(table, id, 7);
  routes.want(table, id, 0);
  table.setFailed(id, true);
  routes.beginDump();
  expect(routes.endDump()).toBe(1);
  expect(table.dirty).toBe(1);
});
