import fleets.partitions
import oauth2_provider.generators
import oauth2_provider.models
from django.db import migrations, models


# Partitioned by month (engine rule 9), like fleets_reading by day.
CREATE_CHANGE = """
create sequence dispatch_change_id_seq as bigint;
create table dispatch_change (
    id bigint not null default nextval('dispatch_change_id_seq'),
    at timestamptz not null,
    subject varchar(15) not null,
    subject_id bigint not null,
    before varchar(20) not null,
    after varchar(20) not null,
    reason varchar(200) not null,
    primary key (id, at)
) partition by range (at);
alter sequence dispatch_change_id_seq owned by dispatch_change.id;
create table dispatch_change_default partition of dispatch_change default;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='GridClient',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('client_id', models.CharField(db_index=True, default=oauth2_provider.generators.generate_client_id, max_length=255, unique=True, verbose_name='client ID')),
                ('redirect_uris', models.TextField(blank=True, help_text='Allowed URIs list, space separated', verbose_name='redirect URIs')),
                ('post_logout_redirect_uris', models.TextField(blank=True, default='', help_text='Allowed Post Logout URIs list, space separated', verbose_name='post logout redirect URIs')),
                ('client_type', models.CharField(choices=[('confidential', 'Confidential'), ('public', 'Public')], max_length=32, verbose_name='client type')),
                ('authorization_grant_type', models.CharField(choices=[('authorization-code', 'Authorization code'), ('urn:ietf:params:oauth:grant-type:device_code', 'Device Code'), ('implicit', 'Implicit'), ('password', 'Resource owner password-based'), ('client-credentials', 'Client credentials'), ('openid-hybrid', 'OpenID connect hybrid')], max_length=44, verbose_name='authorization grant type')),
                ('client_secret', oauth2_provider.models.ClientSecretField(blank=True, db_index=True, default=oauth2_provider.generators.generate_client_secret, help_text='Client secret for authentication', max_length=255, verbose_name='client secret')),
                ('hash_client_secret', models.BooleanField(default=True, verbose_name='hash client secret')),
                ('name', models.CharField(blank=True, max_length=255, verbose_name='name')),
                ('skip_authorization', models.BooleanField(default=False, verbose_name='skip authorization')),
                ('created', models.DateTimeField(auto_now_add=True, verbose_name='created')),
                ('updated', models.DateTimeField(auto_now=True, verbose_name='updated')),
                ('algorithm', models.CharField(blank=True, choices=[('', 'No OIDC support'), ('RS256', 'RSA with SHA-2 256'), ('HS256', 'HMAC with SHA-2 256')], default='', max_length=5, verbose_name='algorithm')),
                ('allowed_origins', models.TextField(blank=True, default='', help_text='Allowed origins list to enable CORS, space separated', verbose_name='allowed origins')),
                ('registration_source', models.CharField(choices=[('manual', 'Manual'), ('dcr', 'Dynamic Client Registration'), ('cimd', 'Client ID Metadata Document')], default='manual', help_text='How this application was registered (manual, DCR per RFC 7591, or CIMD)', max_length=32, verbose_name='registration source')),
                ('cimd_expires_at', models.DateTimeField(blank=True, default=None, help_text='When the cached Client ID Metadata Document should be re-fetched', null=True, verbose_name='CIMD expires at')),
            ],
            options={
                'abstract': False,
                'swappable': 'OAUTH2_PROVIDER_APPLICATION_MODEL',
            },
        ),
        migrations.CreateModel(
            name='Alarm',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=100)),
                ('severity', models.CharField(choices=[('critical', 'Critical'), ('warning', 'Warning')], max_length=10)),
                ('text', models.CharField(max_length=300)),
                ('raised_at', models.DateTimeField()),
                ('cleared_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('actor', models.CharField(max_length=150)),
                ('act', models.CharField(max_length=50)),
                ('subject', models.CharField(max_length=50)),
                ('why', models.CharField(blank=True, max_length=200)),
                ('detail', models.JSONField(default=dict)),
            ],
        ),
        migrations.SeparateDatabaseAndState(
            # Django cannot say "partition by"; the state below is what it must match.
            database_operations=[
                migrations.RunSQL(CREATE_CHANGE, "drop table dispatch_change")
            ],
            state_operations=[
                migrations.CreateModel(
                    name='Change',
                    fields=[
                        ('pk', models.CompositePrimaryKey('id', 'at', blank=True, editable=False, primary_key=True, serialize=False)),
                        ('id', models.BigIntegerField(db_default=fleets.partitions.NextValue('dispatch_change_id_seq'))),
                        ('at', models.DateTimeField()),
                        ('subject', models.CharField(max_length=15)),
                        ('subject_id', models.BigIntegerField()),
                        ('before', models.CharField(blank=True, max_length=20)),
                        ('after', models.CharField(max_length=20)),
                        ('reason', models.CharField(blank=True, max_length=200)),
                    ],
                ),

            ],
        ),
        migrations.CreateModel(
            name='Command',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_version', models.PositiveIntegerField()),
                ('kind', models.CharField(choices=[('stop', 'Stop'), ('start', 'Start'), ('set limit', 'Set Limit')], max_length=10)),
                ('percent', models.PositiveSmallIntegerField(null=True)),
                ('is_restore', models.BooleanField()),
                ('status', models.CharField(choices=[('queued', 'Queued'), ('sending', 'Sending'), ('unknown', 'Unknown'), ('accepted', 'Accepted'), ('confirmed', 'Confirmed'), ('failed', 'Failed'), ('expired', 'Expired'), ('superseded', 'Superseded')], default='queued', max_length=10)),
                ('attempt', models.PositiveSmallIntegerField(default=0)),
                ('ineffective', models.PositiveSmallIntegerField(default=0)),
                ('created_at', models.DateTimeField()),
                ('due_at', models.DateTimeField()),
                ('deadline_at', models.DateTimeField(null=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('answered_at', models.DateTimeField(null=True)),
                ('may_have_landed', models.BooleanField(default=False)),
                ('read_due_at', models.DateTimeField(null=True)),
                ('reads', models.PositiveSmallIntegerField(default=0)),
                ('confirmed_at', models.DateTimeField(null=True)),
                ('code', models.CharField(blank=True, max_length=80)),
                ('request_id', models.CharField(blank=True, max_length=80)),
            ],
        ),
        migrations.CreateModel(
            name='Envelope',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('max_kw', models.FloatField()),
                ('max_cars', models.PositiveIntegerField()),
                ('max_kw_per_minute', models.FloatField()),
                ('holds_stopped_at', models.DateTimeField(blank=True, null=True)),
                ('holds_stopped_by', models.CharField(blank=True, max_length=150)),
            ],
        ),
        migrations.CreateModel(
            name='GridEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('economic', 'Economic'), ('emergency', 'Emergency'), ('test', 'Test')], default='economic', max_length=10)),
                ('status', models.CharField(choices=[('draft', 'Draft'), ('pending approval', 'Pending'), ('scheduled', 'Scheduled'), ('active', 'Active'), ('restoring', 'Restoring'), ('completed', 'Completed'), ('settled', 'Settled'), ('cancelled', 'Cancelled')], default='scheduled', max_length=20)),
                ('priority', models.PositiveSmallIntegerField(default=0)),
                ('version', models.PositiveIntegerField(default=1)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField()),
                ('target_kw', models.FloatField(blank=True, null=True)),
                ('reason', models.CharField(blank=True, max_length=200)),
                ('pending_reason', models.CharField(blank=True, max_length=200)),
                ('created_at', models.DateTimeField()),
                ('created_by', models.CharField(max_length=150)),
                ('started_at', models.DateTimeField(null=True)),
                ('restoring_at', models.DateTimeField(null=True)),
                ('completed_at', models.DateTimeField(null=True)),
                ('cancelled_at', models.DateTimeField(null=True)),
            ],
            options={
                'permissions': [('approve_gridevent', 'Can approve an event larger than its envelope'), ('operate_gridevent', 'Can run events and stop new holds')],
            },
        ),
        migrations.CreateModel(
            name='GridSignal',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(max_length=20)),
                ('body', models.JSONField()),
                ('received_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Hold',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('status', models.CharField(choices=[('taking', 'Taking'), ('held', 'Held'), ('restoring', 'Restoring'), ('restored', 'Restored'), ('released', 'Released'), ('unresolved', 'Unresolved')], default='taking', max_length=12)),
                ('tactic', models.CharField(choices=[('stop', 'Stop'), ('limit', 'Limit')], max_length=10)),
                ('was_charging', models.BooleanField()),
                ('soc_percent', models.FloatField(null=True)),
                ('limit_percent', models.FloatField(null=True)),
                ('power_kw', models.FloatField()),
                ('state_observed_at', models.DateTimeField()),
                ('plugged_in_at', models.DateTimeField(null=True)),
                ('latest_start_at', models.DateTimeField(null=True)),
                ('reason', models.CharField(max_length=40)),
                ('restore_reason', models.CharField(blank=True, max_length=40)),
                ('close_reason', models.CharField(blank=True, max_length=40)),
                ('opened_at', models.DateTimeField()),
                ('held_at', models.DateTimeField(null=True)),
                ('restoring_at', models.DateTimeField(null=True)),
                ('closed_at', models.DateTimeField(null=True)),
                ('owed_until', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='IdempotencyKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=200)),
                ('body_hash', models.CharField(max_length=64)),
                ('status', models.PositiveSmallIntegerField()),
                ('response', models.JSONField()),
                ('created_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='LoadSample',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('charging_kw', models.FloatField()),
                ('confirmed_kw', models.FloatField()),
                ('unconfirmed_kw', models.FloatField()),
                ('blind_kw', models.FloatField()),
                ('target_kw', models.FloatField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='LoopTurn',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('real_at', models.DateTimeField()),
                ('took_ms', models.FloatField()),
            ],
        ),
        migrations.CreateModel(
            name='Participation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('status', models.CharField(choices=[('claimed', 'Claimed'), ('spared', 'Spared'), ('ended', 'Ended')], max_length=10)),
                ('reason', models.CharField(max_length=40)),
                ('judged_at', models.DateTimeField()),
                ('opted_out_at', models.DateTimeField(null=True)),
                ('ended_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Sender',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('host', models.CharField(max_length=100)),
                ('pid', models.PositiveIntegerField()),
                ('started_at', models.DateTimeField()),
                ('heartbeat_at', models.DateTimeField()),
            ],
        ),
    ]
