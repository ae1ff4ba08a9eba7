/** As core-raw, without headers: what a correlation id and a content type cost is left out. */
import * as raw from './core-raw.mjs';

export const attributes = false;
export const publisher = (connection) => raw.publisher(bare(connection));
export const subscriber = (connection, handled) => raw.subscriber(bare(connection), handled);

const bare = (connection) => ({ ...connection, options: { ...connection.options, headers: false } });
