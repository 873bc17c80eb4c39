from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('fleets', '0009_how_cars_are_given_back'),
    ]

    operations = [
        migrations.AddField(
            model_name='feeder',
            name='restore_cap_kw',
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='feeder',
            name='restore_ramp_kw_per_minute',
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddConstraint(
            model_name='feeder',
            constraint=models.CheckConstraint(condition=models.Q(('restore_cap_kw__gt', 0), ('restore_ramp_kw_per_minute__gt', 0)), name='feeder_restore_bounds_positive'),
        ),
    ]
