// Where all parts report what happens, and where the API's watchers and the flight recorder listen. Delivery is
// synchronous; queues are the listeners' own, and bounded. The types of events are in api/events.ts.
//
// A bulk load of routes comes in two forms: summaries for those who do not ask for more, single operations for those who
// do. The part that writes to the kernel makes the second form only while somebody wants it.
import type { EventFields, EventListener, EventType, WatchEvent } from "./api/events.ts";

export class EventHub {
  readonly #listeners = new Set<EventListener>();
  #detailed = 0;

  /** Called when the first listener that wants every operation has come, and (false) when the last has gone. */
  onDetail: (wanted: boolean) => void = () => {};

  /** Returns the function that ends the subscription. */
  subscribe(listener: EventListener): () => void {
    this.#listeners.add(listener);
    if (listener.lost && ++this.#detailed === 1) this.onDetail(true);
    return () => {
      if (this.#listeners.delete(listener) && listener.lost && --this.#detailed === 0) this.onDetail(false);
    };
  }

  /** `at`: milliseconds since 1970, when it did not happen just now. */
  emit<Type extends EventType>(type: Type, fields: EventFields[Type], at: number = Date.now()): void {
    if (this.#listeners.size === 0) return;
    const event = eventOf(type, fields, at);
    for (const listener of this.#listeners) listener.event(event);
  }

  /** A summary, for those who do not get every operation by itself. */
  emitSummary<Type extends EventType>(type: Type, fields: EventFields[Type], at: number): void {
    if (this.#listeners.size === this.#detailed) return;
    const event = eventOf(type, fields, at);
    for (const listener of this.#listeners) if (!listener.lost) listener.event(event);
  }

  /** One of the operations behind a summary. */
  emitDetail<Type extends EventType>(type: Type, fields: EventFields[Type], at: number): void {
    if (this.#detailed === 0) return;
    const event = eventOf(type, fields, at);
    for (const listener of this.#listeners) if (listener.lost) listener.event(event);
  }

  /** So many operations could not be kept for those who want every one. */
  lost(count: number): void {
    for (const listener of this.#listeners) listener.lost?.(count);
  }
}

function eventOf(type: EventType, fields: object, at: number): WatchEvent {
  const time = timeOf(at);
  const event: { time: string; type: EventType } = { time, type, ...fields };
  // Whatever the fields have, time and type are the event's.
  if (event.time !== time) event.time = time;
  if (event.type !== type) event.type = type;
  return event;
}

let lastAt = Number.NaN;
let lastTime = "";

/** Events come in bunches. */
function timeOf(at: number): string {
  if (at === lastAt) return lastTime;
  lastAt = at;
  lastTime = new Date(at).toISOString();
  return lastTime;
}
