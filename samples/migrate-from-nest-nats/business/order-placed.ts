import { Type } from 'class-transformer';
import { IsDate, IsPositive, IsString } from 'class-validator';

export class OrderPlaced {
  @IsString()
  orderId!: string;

  @IsPositive()
  amount!: number;

  // A text or a Date when it arrives, a Date after the pipe: right on both sides of the move.
  @Type(() => Date)
  @IsDate()
  placedAt!: Date;
}
