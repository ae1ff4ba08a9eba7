export { Correlation } from './correlation';
export { Origin, readOrigin } from './origin';
export { Contracts, validation } from './validation';
