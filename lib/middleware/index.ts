export { correlation } from './correlation';
export { timeout } from './timeout';
export { validation } from './validation';
