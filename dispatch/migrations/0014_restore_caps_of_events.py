from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('dispatch', '0013_responses_and_shed'),
    ]

    operations = [
        migrations.AddField(
            model_name='gridevent',
            name='cap_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='gridevent',
            name='cap_by',
            field=models.CharField(blank=True, db_default='', max_length=150),
        ),
        migrations.AddField(
            model_name='gridevent',
            name='cap_kw',
            field=models.FloatField(null=True),
        ),
        migrations.AddConstraint(
            model_name='gridevent',
            constraint=models.CheckConstraint(condition=models.Q(('cap_kw', None), ('cap_kw__gt', 0), _connector='OR'), name='event_cap_positive'),
        ),
    ]
