import { Module } from '@nestjs/common';
import { EventsModule } from '@venta/events';
import { BootstrapModule } from '../bootstrap.module';
import { UserRepository } from './user.repository';
import { UserService } from './user.service';

@Module({
  imports: [
    BootstrapModule.forRoot({
      appName: 'User Service',
      protocol: 'grpc',
      additionalModules: [EventsModule.register({ appName: 'User Service' })],
    }),
  ],
  providers: [UserService, UserRepository],
})
export class UserServiceModule {}
