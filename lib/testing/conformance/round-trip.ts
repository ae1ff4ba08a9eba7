import type { ServiceInstance } from './harness';

/** An event of its own goes to the broker and comes back: what was to happen before has happened. */
export async function roundTrip(service: ServiceInstance): Promise<void> {
  const name = `round.trip-${Math.random().toString(36).slice(2)}`;
  const returned = await service.collect(name);
  await service.emit(name, null);
  await returned.atLeast(1);
}
