// Why an address is not given, as the caller of ADD reads it.
import { formatAddress } from "../../net/address.ts";
import { CniError, CniErrorCode } from "../protocol/error.ts";
import type { Block } from "./block.ts";
import type { Pool } from "./pools.ts";

export function heldBack(block: Block): CniError {
  return new CniError(CniErrorCode.tryAgainLater, `no address is given out of block ${block.text}: ${block.held}`);
}

export function noBlocks(pool: Pool): CniError {
  return new CniError(CniErrorCode.poolExhausted, `pool "${pool.name}" has no blocks`);
}

export function exhausted(pool: Pool, family: number, blocks: readonly Block[]): CniError {
  const uses = blocks.map((block) => `${block.text} (${block.used} in use)`).join(", ");
  return new CniError(
    CniErrorCode.poolExhausted,
    `pool "${pool.name}" has no free IPv${family} address: ${uses}; remove pods or add a block`,
  );
}

export function allCooling(pool: Pool, family: number, wait: number): CniError {
  return new CniError(
    CniErrorCode.tryAgainLater,
    `pool "${pool.name}" has no free IPv${family} address but those given back a moment ago, try again in ${seconds(wait)}`,
  );
}

export function outside(pools: readonly Pool[], address: string): CniError {
  const names = pools.map(({ name }) => `"${name}"`).join(", ");
  return new CniError(
    CniErrorCode.addressOutsidePool,
    `requested address ${address} is in no block of pool${pools.length > 1 ? "s" : ""} ${names}`,
  );
}

export function excluded(pool: Pool, address: Uint8Array): CniError {
  return new CniError(
    CniErrorCode.addressOutsidePool,
    `requested address ${formatAddress(address)} is excluded from pool "${pool.name}"`,
  );
}

export function taken(address: string): CniError {
  return new CniError(CniErrorCode.addressTaken, `requested address ${address} is in use by another pod`);
}

export function keptForAnother(address: string, identity: string): CniError {
  return new CniError(CniErrorCode.addressTaken, `requested address ${address} is kept for ${identity}`);
}

export function cooling(address: string, wait: number): CniError {
  return new CniError(
    CniErrorCode.tryAgainLater,
    `requested address ${address} was given back by another pod a moment ago, try again in ${seconds(wait)}`,
  );
}

function seconds(wait: number): string {
  return `${Math.max(1, Math.ceil(wait / 1000))} s`;
}
