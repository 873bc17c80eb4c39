import datetime
import django.contrib.auth.models
import django.contrib.auth.validators
import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
import fleets.partitions
from django.conf import settings
from django.db import migrations, models


# Partitioned by day (engine rule 9): the key holds the partition key, the default
# partition catches strays, fleets.partitions makes the days ahead.
CREATE_READING = """
create sequence fleets_reading_id_seq as bigint;
create table fleets_reading (
    id bigint not null default nextval('fleets_reading_id_seq'),
    received_at timestamptz not null,
    vehicle_id bigint not null,
    observed_at timestamptz not null,
    is_plugged_in boolean,
    is_charging boolean,
    soc_percent double precision,
    limit_percent double precision,
    power_kw double precision,
    is_home boolean,
    source varchar(10) not null,
    primary key (id, received_at)
) partition by range (received_at);
alter sequence fleets_reading_id_seq owned by fleets_reading.id;
create index reading_of_car on fleets_reading (vehicle_id, observed_at desc);
create table fleets_reading_default partition of fleets_reading default;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
    ]

    operations = [
        migrations.CreateModel(
            name='ProviderToken',
            fields=[
                ('provider', models.CharField(max_length=30, primary_key=True, serialize=False)),
                ('sealed', models.BinaryField(default=b'')),
                ('expires_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Substation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.SlugField(unique=True)),
                ('name', models.CharField(max_length=100)),
            ],
        ),
        migrations.CreateModel(
            name='Vehicle',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('external_id', models.CharField(max_length=100, unique=True)),
                ('make', models.CharField(max_length=40)),
                ('model', models.CharField(blank=True, max_length=60)),
                ('year', models.PositiveSmallIntegerField(blank=True, null=True)),
                ('region', models.CharField(default='US', max_length=10)),
                ('battery_kwh', models.FloatField(default=60.0)),
                ('usual_power_kw', models.FloatField(default=7.0)),
                ('can_stop', models.BooleanField(default=True)),
                ('can_start', models.BooleanField(default=True)),
                ('can_set_limit', models.BooleanField(default=True)),
                ('commands_from_soc_percent', models.FloatField(default=0)),
                ('is_plugged_in', models.BooleanField(null=True)),
                ('is_charging', models.BooleanField(null=True)),
                ('soc_percent', models.FloatField(null=True)),
                ('limit_percent', models.FloatField(null=True)),
                ('power_kw', models.FloatField(null=True)),
                ('plugged_in_at', models.DateTimeField(null=True)),
                ('is_home', models.BooleanField(null=True)),
                ('observed_at', models.DateTimeField(null=True)),
                ('received_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='User',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('last_login', models.DateTimeField(blank=True, null=True, verbose_name='last login')),
                ('is_superuser', models.BooleanField(default=False, help_text='Designates that this user has all permissions without explicitly assigning them.', verbose_name='superuser status')),
                ('username', models.CharField(error_messages={'unique': 'A user with that username already exists.'}, help_text='Required. 150 characters or fewer. Letters, digits and @/./+/-/_ only.', max_length=150, unique=True, validators=[django.contrib.auth.validators.UnicodeUsernameValidator()], verbose_name='username')),
                ('first_name', models.CharField(blank=True, max_length=150, verbose_name='first name')),
                ('last_name', models.CharField(blank=True, max_length=150, verbose_name='last name')),
                ('email', models.EmailField(blank=True, max_length=254, verbose_name='email address')),
                ('is_staff', models.BooleanField(default=False, help_text='Designates whether the user can log into this admin site.', verbose_name='staff status')),
                ('is_active', models.BooleanField(default=True, help_text='Designates whether this user should be treated as active. Unselect this instead of deleting accounts.', verbose_name='active')),
                ('date_joined', models.DateTimeField(default=django.utils.timezone.now, verbose_name='date joined')),
                ('groups', models.ManyToManyField(blank=True, help_text='The groups this user belongs to. A user will get all permissions granted to each of their groups.', related_name='user_set', related_query_name='user', to='auth.group', verbose_name='groups')),
                ('user_permissions', models.ManyToManyField(blank=True, help_text='Specific permissions for this user.', related_name='user_set', related_query_name='user', to='auth.permission', verbose_name='user permissions')),
            ],
            options={
                'verbose_name': 'user',
                'verbose_name_plural': 'users',
                'abstract': False,
            },
            managers=[
                ('objects', django.contrib.auth.models.UserManager()),
            ],
        ),
        migrations.CreateModel(
            name='Bucket',
            fields=[
                ('name', models.CharField(max_length=60, primary_key=True, serialize=False)),
                ('capacity', models.FloatField()),
                ('refill_per_minute', models.FloatField()),
                ('tokens', models.FloatField(default=0)),
                ('refilled_at', models.DateTimeField()),
                ('blocked_until', models.DateTimeField(null=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('tokens__gte', 0), ('tokens__lte', models.F('capacity'))), name='bucket_never_overdrawn')],
            },
        ),
        migrations.CreateModel(
            name='Customer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('email', models.EmailField(blank=True, max_length=254)),
                ('created_at', models.DateTimeField()),
                ('user', models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='customer', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='Program',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.SlugField(unique=True)),
                ('name', models.CharField(max_length=100)),
                ('time_zone', models.CharField(default='UTC', max_length=50)),
                ('tactic', models.CharField(choices=[('stop', 'Stop'), ('limit', 'Limit')], default='stop', max_length=10)),
                ('ready_by', models.TimeField(default=datetime.time(7, 0))),
                ('minimum_charge_percent', models.FloatField(default=30.0)),
                ('restore_cap_kw', models.FloatField(blank=True, null=True)),
                ('restore_ramp_kw_per_minute', models.FloatField(default=50.0)),
                ('max_event_hours', models.FloatField(default=4.0)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('minimum_charge_percent__gte', 0), ('minimum_charge_percent__lte', 100)), name='program_minimum_is_a_percentage'), models.CheckConstraint(condition=models.Q(models.Q(('restore_cap_kw', None), ('restore_cap_kw__gt', 0), _connector='OR'), ('max_event_hours__gt', 0), ('restore_ramp_kw_per_minute__gt', 0)), name='program_restore_rules_positive')],
            },
        ),
        migrations.CreateModel(
            name='ProviderAccount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('provider', models.CharField(default='smartcar', max_length=30)),
                ('external_id', models.CharField(max_length=100)),
                ('connected_at', models.DateTimeField()),
                ('reconnect_needed_at', models.DateTimeField(blank=True, null=True)),
                ('customer', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='provider_accounts', to='fleets.customer')),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            # Django cannot say "partition by"; the state below is what it must match.
            database_operations=[
                migrations.RunSQL(CREATE_READING, "drop table fleets_reading")
            ],
            state_operations=[
                migrations.CreateModel(
                    name='Reading',
                    fields=[
                        ('pk', models.CompositePrimaryKey('id', 'received_at', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('id', models.BigIntegerField(db_default=fleets.partitions.NextValue('fleets_reading_id_seq'))),
                        ('received_at', models.DateTimeField()),
                        ('vehicle_id', models.BigIntegerField()),
                        ('observed_at', models.DateTimeField()),
                        ('is_plugged_in', models.BooleanField(null=True)),
                        ('is_charging', models.BooleanField(null=True)),
                        ('soc_percent', models.FloatField(null=True)),
                        ('limit_percent', models.FloatField(null=True)),
                        ('power_kw', models.FloatField(null=True)),
                        ('is_home', models.BooleanField(null=True)),
                        ('source', models.CharField(max_length=10)),
                    ],
                    options={
                        'indexes': [models.Index(fields=['vehicle_id', '-observed_at'], name='reading_of_car')],
                    },
                ),

            ],
        ),
        migrations.CreateModel(
            name='Feeder',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.SlugField(unique=True)),
                ('name', models.CharField(max_length=100)),
                ('capacity_kw', models.FloatField(blank=True, null=True)),
                ('substation', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='feeders', to='fleets.substation')),
            ],
        ),
        migrations.CreateModel(
            name='SystemClock',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('real', models.DateTimeField()),
                ('simulated', models.DateTimeField()),
                ('speed', models.FloatField(default=1.0)),
                ('paused', models.BooleanField(default=False)),
            ],
            options={
                'db_table': 'fleets_clock',
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='one_clock'), models.CheckConstraint(condition=models.Q(('speed__gt', 0)), name='clock_runs_forward')],
            },
        ),
        migrations.CreateModel(
            name='VehicleBucket',
            fields=[
                ('vehicle', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='bucket', serialize=False, to='fleets.vehicle')),
                ('tokens', models.FloatField(default=0)),
                ('refilled_at', models.DateTimeField()),
                ('blocked_until', models.DateTimeField(null=True)),
                ('month', models.DateField()),
                ('calls_this_month', models.PositiveIntegerField(default=0)),
            ],
        ),
        migrations.AddField(
            model_name='vehicle',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='vehicles', to='fleets.provideraccount'),
        ),
        migrations.AddField(
            model_name='vehicle',
            name='feeder',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='vehicles', to='fleets.feeder'),
        ),
        migrations.CreateModel(
            name='Enrolment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('status', models.CharField(choices=[('active', 'Active'), ('withdrawn', 'Withdrawn')], default='active', max_length=10)),
                ('consented_at', models.DateTimeField()),
                ('consent_wording', models.CharField(max_length=50)),
                ('consent_source', models.CharField(max_length=50)),
                ('withdrawn_at', models.DateTimeField(blank=True, null=True)),
                ('ready_by', django.contrib.postgres.fields.ArrayField(base_field=models.TimeField(blank=True, null=True), blank=True, default=list, size=7)),
                ('minimum_charge_percent', models.FloatField(blank=True, null=True)),
                ('program', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='enrolments', to='fleets.program')),
                ('vehicle', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='enrolments', to='fleets.vehicle')),
            ],
        ),
        migrations.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.CharField(max_length=100, unique=True)),
                ('body', models.BinaryField()),
                ('received_at', models.DateTimeField()),
                ('processed_at', models.DateTimeField(null=True)),
                ('error', models.CharField(blank=True, max_length=200)),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('processed_at', None)), fields=['id'], name='webhook_not_processed'), models.Index(fields=['received_at'], name='webhook_by_age')],
            },
        ),
        migrations.AddConstraint(
            model_name='provideraccount',
            constraint=models.UniqueConstraint(fields=('provider', 'external_id'), name='one_account_per_provider_user'),
        ),
        migrations.AddConstraint(
            model_name='feeder',
            constraint=models.CheckConstraint(condition=models.Q(('capacity_kw__gt', 0)), name='feeder_capacity_positive'),
        ),
        migrations.AddConstraint(
            model_name='vehiclebucket',
            constraint=models.CheckConstraint(condition=models.Q(('tokens__gte', 0)), name='vehicle_bucket_never_overdrawn'),
        ),
        migrations.AddConstraint(
            model_name='vehicle',
            constraint=models.CheckConstraint(condition=models.Q(('soc_percent__gte', 0), ('soc_percent__lte', 100)), name='vehicle_soc_is_a_percentage'),
        ),
        migrations.AddConstraint(
            model_name='vehicle',
            constraint=models.CheckConstraint(condition=models.Q(('limit_percent__gte', 0), ('limit_percent__lte', 100)), name='vehicle_limit_is_a_percentage'),
        ),
        migrations.AddConstraint(
            model_name='vehicle',
            constraint=models.CheckConstraint(condition=models.Q(('battery_kwh__gt', 0), ('usual_power_kw__gt', 0)), name='vehicle_battery_and_power_positive'),
        ),
        migrations.AddConstraint(
            model_name='enrolment',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'active')), fields=('vehicle',), name='one_active_enrolment_per_vehicle'),
        ),
        migrations.AddConstraint(
            model_name='enrolment',
            constraint=models.CheckConstraint(condition=models.Q(('minimum_charge_percent', None), models.Q(('minimum_charge_percent__gte', 0), ('minimum_charge_percent__lte', 100)), _connector='OR'), name='enrolment_minimum_is_a_percentage'),
        ),
        migrations.AddConstraint(
            model_name='enrolment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'active'), ('withdrawn_at', None)), models.Q(('status', 'withdrawn'), ('withdrawn_at__isnull', False)), _connector='OR'), name='enrolment_withdrawal_has_its_time'),
        ),
        migrations.AddConstraint(
            model_name='enrolment',
            constraint=models.CheckConstraint(condition=models.Q(('ready_by__len', 0), ('ready_by__len', 7), _connector='OR'), name='enrolment_ready_by_is_a_week'),
        ),
    ]
