import { measure } from '../harness/rounds.mjs';
import {
  BARE_CORE,
  DEFAULT_STREAM,
  having,
  OUR_CORE,
  OUR_STREAM,
  RAW_CORE,
  RAW_STREAM,
} from './contenders.mjs';

/** All contenders, or for a gate only the base and ours. */
export const CORE = [BARE_CORE, RAW_CORE, OUR_CORE];
export const STREAM = [DEFAULT_STREAM, RAW_STREAM, OUR_STREAM];
export const DRAIN = [RAW_STREAM, OUR_STREAM].map((contender) => having(contender, { drain: true }));

/** Of a gate: ours, and what it is measured by. */
export const gated = (contenders) => contenders.filter(({ key }) => key === 'raw' || key === 'events');

export const core = (server, { gate, ...options }) => measure(gate ? gated(CORE) : CORE, server, options);

export const jetStream = (server, { gate, ...options }) =>
  measure(gate ? gated(STREAM) : STREAM, server, options);

/** A backlog that was stored before. */
export const drain = (server, options) =>
  measure(DRAIN, server, { ...options, trial: (pair, count) => pair.drain(count) });
