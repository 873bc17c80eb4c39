import django.db.models.deletion
import django.db.models.functions.comparison
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('dispatch', '0001_initial'),
        ('fleets', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='gridclient',
            name='user',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddIndex(
            model_name='change',
            index=models.Index(fields=['subject', 'subject_id', 'at'], name='change_of_one'),
        ),
        migrations.AddField(
            model_name='command',
            name='vehicle',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='commands', to='fleets.vehicle'),
        ),
        migrations.AddField(
            model_name='envelope',
            name='program',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, to='fleets.program'),
        ),
        migrations.AddField(
            model_name='gridevent',
            name='feeders',
            field=models.ManyToManyField(blank=True, related_name='events', to='fleets.feeder'),
        ),
        migrations.AddField(
            model_name='gridevent',
            name='program',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='fleets.program'),
        ),
        migrations.AddField(
            model_name='gridevent',
            name='vehicles',
            field=models.ManyToManyField(blank=True, related_name='aimed_events', to='fleets.vehicle'),
        ),
        migrations.AddField(
            model_name='command',
            name='event',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='commands', to='dispatch.gridevent'),
        ),
        migrations.AddField(
            model_name='alarm',
            name='event',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='alarms', to='dispatch.gridevent'),
        ),
        migrations.AddField(
            model_name='gridsignal',
            name='client',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='signals', to=settings.OAUTH2_PROVIDER_APPLICATION_MODEL),
        ),
        migrations.AddField(
            model_name='gridevent',
            name='signal',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='events', to='dispatch.gridsignal'),
        ),
        migrations.AddField(
            model_name='hold',
            name='event',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='holds', to='dispatch.gridevent'),
        ),
        migrations.AddField(
            model_name='hold',
            name='vehicle',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='holds', to='fleets.vehicle'),
        ),
        migrations.AddField(
            model_name='command',
            name='hold',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='commands', to='dispatch.hold'),
        ),
        migrations.AddField(
            model_name='idempotencykey',
            name='client',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to=settings.OAUTH2_PROVIDER_APPLICATION_MODEL),
        ),
        migrations.AddField(
            model_name='loadsample',
            name='event',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='samples', to='dispatch.gridevent'),
        ),
        migrations.AddConstraint(
            model_name='loopturn',
            constraint=models.CheckConstraint(condition=models.Q(('id', 1)), name='one_loop_turn'),
        ),
        migrations.AddField(
            model_name='participation',
            name='event',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='participations', to='dispatch.gridevent'),
        ),
        migrations.AddField(
            model_name='participation',
            name='hold',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='participations', to='dispatch.hold'),
        ),
        migrations.AddField(
            model_name='participation',
            name='vehicle',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='participations', to='fleets.vehicle'),
        ),
        migrations.AddField(
            model_name='command',
            name='sender',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='commands', to='dispatch.sender'),
        ),
        migrations.AddConstraint(
            model_name='envelope',
            constraint=models.UniqueConstraint(django.db.models.functions.comparison.Coalesce('program', 0), name='one_envelope_of_each'),
        ),
        migrations.AddConstraint(
            model_name='envelope',
            constraint=models.CheckConstraint(condition=models.Q(('max_cars__gt', 0), ('max_kw__gt', 0), ('max_kw_per_minute__gt', 0)), name='envelope_positive'),
        ),
        migrations.AddConstraint(
            model_name='alarm',
            constraint=models.UniqueConstraint(condition=models.Q(('cleared_at', None)), fields=('key',), name='one_open_alarm_a_key'),
        ),
        migrations.AddIndex(
            model_name='gridevent',
            index=models.Index(condition=models.Q(('status__in', ['scheduled', 'active', 'restoring'])), fields=['starts_at'], name='event_alive'),
        ),
        migrations.AddConstraint(
            model_name='gridevent',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__gt', models.F('starts_at'))), name='event_ends_after_start'),
        ),
        migrations.AddConstraint(
            model_name='gridevent',
            constraint=models.CheckConstraint(condition=models.Q(('target_kw', None), ('target_kw__gt', 0), _connector='OR'), name='event_target_positive'),
        ),
        migrations.AddConstraint(
            model_name='gridevent',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['draft', 'pending approval', 'scheduled', 'active', 'restoring', 'completed', 'settled', 'cancelled'])), name='event_status_known'),
        ),
        migrations.AddIndex(
            model_name='hold',
            index=models.Index(condition=models.Q(('status__in', ['taking', 'held', 'restoring', 'unresolved'])), fields=['id'], name='hold_open'),
        ),
        migrations.AddConstraint(
            model_name='hold',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ['taking', 'held', 'restoring', 'unresolved'])), fields=('vehicle',), name='one_open_hold_per_vehicle'),
        ),
        migrations.AddConstraint(
            model_name='hold',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['taking', 'held', 'restoring', 'restored', 'released', 'unresolved'])), name='hold_status_known'),
        ),
        migrations.AddConstraint(
            model_name='hold',
            constraint=models.CheckConstraint(condition=models.Q(('power_kw__gte', 0)), name='hold_power_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='hold',
            constraint=models.CheckConstraint(condition=models.Q(('limit_percent', None), models.Q(('limit_percent__gte', 0), ('limit_percent__lte', 100)), _connector='OR'), name='hold_limit_is_a_percentage'),
        ),
        migrations.AddConstraint(
            model_name='idempotencykey',
            constraint=models.UniqueConstraint(fields=('client', 'key'), name='one_answer_per_client_and_key'),
        ),
        migrations.AddConstraint(
            model_name='loadsample',
            constraint=models.UniqueConstraint(fields=('event', 'at'), name='one_sample_per_tick'),
        ),
        migrations.AddConstraint(
            model_name='participation',
            constraint=models.UniqueConstraint(fields=('event', 'vehicle'), name='one_participation_per_event_and_car'),
        ),
        migrations.AddConstraint(
            model_name='participation',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['claimed', 'spared', 'ended'])), name='participation_status_known'),
        ),
        migrations.AddIndex(
            model_name='command',
            index=models.Index(condition=models.Q(('status', 'queued')), fields=['-is_restore', 'due_at', 'id'], name='command_due'),
        ),
        migrations.AddIndex(
            model_name='command',
            index=models.Index(condition=models.Q(('status__in', ['unknown', 'accepted'])), fields=['read_due_at'], name='command_to_read'),
        ),
        migrations.AddIndex(
            model_name='command',
            index=models.Index(condition=models.Q(('status', 'sending')), fields=['sender'], name='command_in_flight'),
        ),
        migrations.AddConstraint(
            model_name='command',
            constraint=models.UniqueConstraint(condition=models.Q(('status__in', ['queued', 'sending', 'unknown'])), fields=('vehicle',), name='one_open_command_per_vehicle'),
        ),
        migrations.AddConstraint(
            model_name='command',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['queued', 'sending', 'unknown', 'accepted', 'confirmed', 'failed', 'expired', 'superseded'])), name='command_status_known'),
        ),
        migrations.AddConstraint(
            model_name='command',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'set limit'), ('percent__gte', 50), ('percent__lte', 100)), models.Q(models.Q(('kind', 'set limit'), _negated=True), ('percent', None)), _connector='OR'), name='command_limit_is_50_to_100'),
        ),
        migrations.AddConstraint(
            model_name='command',
            constraint=models.CheckConstraint(condition=models.Q(('is_restore', True), ('deadline_at__isnull', False), _connector='OR'), name='command_that_takes_has_a_deadline'),
        ),
    ]
