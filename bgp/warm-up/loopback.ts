// A TCP connection of this process with itself, as sessions have them with neighbours. The listening socket is there for the
// connection alone, and whoever else finds it meanwhile is turned away.
import { Socket, type SocketConstructorOpts, type TcpSocketConnectOpts } from "node:net";
import { check, native, SystemError } from "../../net/native.ts";
import {
  AF_INET,
  decodeSocketAddress,
  encodeSocketAddress,
  localEnd,
  SOCK_STREAM_NONBLOCK_CLOEXEC,
} from "../session/socket-options.ts";
import { type Transport, wrap } from "../session/transport.ts";

const LOOPBACK = Uint8Array.of(127, 0, 0, 1);
/** What the far end reads is nobody's: all connections read into the same memory. */
const ignored = new Uint8Array(65536);

export interface Loopback {
  /** Our end of a session. */
  readonly near: Transport;
  /** The neighbour's. It takes all it is sent and forgets it. */
  readonly far: Socket;
}

/** Resolves to null where the loopback interface is down, or filtered. */
export async function loopback(): Promise<Loopback | null> {
  const system = native();
  const listener = check(system.socket(AF_INET, SOCK_STREAM_NONBLOCK_CLOEXEC, 0), "socket");
  try {
    check(system.bind(listener, encodeSocketAddress({ address: LOOPBACK, port: 0, scope: 0 })), "bind");
    check(system.listen(listener, 1), "listen");
    const far = await connected(localEnd(listener).port);
    if (!far) return null;
    const near = await accepted(listener, far);
    if (!near) far.destroy();
    return near && { near, far };
  } catch (error) {
    if (error instanceof SystemError) return null;
    throw error;
  } finally {
    system.close(listener);
  }
}

/** Milliseconds. */
const CONNECT_TIMEOUT = 1000;

function connected(port: number): Promise<Socket | null> {
  return new Promise((resolve) => {
    const options: SocketConstructorOpts & Pick<TcpSocketConnectOpts, "onread"> = {
      onread: { buffer: ignored, callback: () => true },
    };
    const far = new Socket(options);
    const timer = setTimeout(() => far.destroy(), CONNECT_TIMEOUT);
    // A connection that breaks closes, too.
    far.on("error", () => undefined);
    far.once("close", () => {
      clearTimeout(timer);
      resolve(null);
    });
    far.connect({ host: "127.0.0.1", port }, () => {
      clearTimeout(timer);
      far.setNoDelay();
      resolve(far);
    });
  });
}

/** The other end of `far`, which is connected: it is there, or is within a few turns of the event loop. */
async function accepted(listener: number, far: Socket): Promise<Transport | null> {
  const system = native();
  for (let tries = 0; tries < 100; tries++) {
    const address = new Uint8Array(28);
    const fd = system.accept(listener, address);
    if (fd < 0) {
      await new Promise(setImmediate);
      continue;
    }
    const remote = decodeSocketAddress(address);
    if (remote.port === far.localPort) return wrap(fd, remote, "remote", null);
    system.close(fd);
  }
  return null;
}
