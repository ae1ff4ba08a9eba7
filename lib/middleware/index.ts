export { Correlation } from './correlation';
export { Origin, readOrigin } from './origin';
export { validation } from './validation';
