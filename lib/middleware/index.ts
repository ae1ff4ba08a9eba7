export { Correlation } from './correlation';
export { Origin, readOrigin } from './origin';
export { timeout } from './timeout';
export { validation } from './validation';
