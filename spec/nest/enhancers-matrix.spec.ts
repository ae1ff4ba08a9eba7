import { applications } from '../support/applications';
import { enhancerMatrix } from '../support/enhancer-matrix';

describe('on the memory transport', () => {
  enhancerMatrix(applications().start);
});
