import 'reflect-metadata';
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { IsString, ValidateNested } from 'class-validator';
import { Transform, Type } from 'class-transformer';
import { classSchema } from '../../lib/middleware/class-validator';

type Transformer = { Type: typeof Type; Transform: typeof Transform };

let folder: string;
let other: Transformer;
beforeAll(() => {
  folder = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'second-copy-')));
  const copy = path.join(folder, 'node_modules', 'class-transformer');
  mkdirSync(copy, { recursive: true });
  cpSync(path.dirname(require.resolve('class-transformer/package.json')), copy, { recursive: true });
  other = createRequire(path.join(folder, 'index.js'))('class-transformer') as Transformer;
});
afterAll(() => rmSync(folder, { recursive: true }));

class Address {
  @IsString()
  city!: string;
}

const valid = { to: { city: 'London' } };
const validate = (type: new () => object, data: unknown): unknown =>
  classSchema('order.placed', type)['~standard'].validate(data);

describe('F47 a class contract', () => {
  it('whose nested class is of one copy is transformed', async () => {
    class Order {
      @ValidateNested()
      @Type(() => Address)
      to!: Address;
    }
    expect(await validate(Order, valid)).toMatchObject({ value: { to: expect.any(Address) as Address } });
  });

  it('with the decorators of a second copy of class-transformer is transformed by that copy', async () => {
    class Order {
      to!: Address;
    }
    ValidateNested()(Order.prototype, 'to');
    other.Type(() => Address)(Order.prototype, 'to');
    expect(await validate(Order, valid)).toMatchObject({ value: { to: expect.any(Address) as Address } });
  });

  it('with the decorators of two copies fails, saying so', () => {
    class Order {
      @Type(() => Address)
      to!: Address;
    }
    other.Type(() => Address)(Order.prototype, 'to');
    expect(() => classSchema('order.placed', Order)).toThrow(/two copies of class-transformer are installed/);
  });

  it('without @Type at a nested property fails, naming it, also within another', () => {
    class Inner {
      @ValidateNested()
      to!: Address;
    }
    class Outer {
      @ValidateNested({ each: true })
      @Type(() => Inner)
      inner!: Inner[];
    }
    expect(() => classSchema('order.placed', Outer)).toThrow(/the class Inner, says of 'to'/);
  });

  it('that makes its nested objects itself is as good', async () => {
    class Order {
      @ValidateNested()
      @Transform(({ value }) => Object.assign(new Address(), value as object))
      to!: Address;
    }
    expect(await validate(Order, valid)).toMatchObject({ value: { to: { city: 'London' } } });
  });

  it('that contains itself is looked at once', () => {
    class Node {
      @ValidateNested()
      @Type(() => Node)
      child?: Node;
    }
    expect(() => classSchema('tree.made', Node)).not.toThrow();
  });
});
