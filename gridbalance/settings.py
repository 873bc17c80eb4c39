"""All settings: they run right after checkout, the environment changes them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import structlog
from csp.constants import NONE, SELF
from structlog.typing import Processor

from gridbalance import embedded, env, logs

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("GRIDBALANCE_DATA_DIR", str(BASE_DIR / ".gridbalance")))
EMBEDDED = embedded.addresses(DATA_DIR)

# --- Django ---
DEBUG = env.switch("DEBUG", False)
# Generated once per checkout; several hosts must share one SECRET_KEY.
SECRET_KEY = env.text("SECRET_KEY") or env.kept_secret(DATA_DIR / "secret_key")
ALLOWED_HOSTS = env.text("ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(",")
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_filters",
    "django_prometheus",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "fleets",
    "dispatch",
    "oauth2_provider",
    "gridbalance",
]
MIDDLEWARE = [
    "gridbalance.logs.with_request_id",
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "gridbalance.urls"
ASGI_APPLICATION = "gridbalance.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_USER_MODEL = "fleets.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "fleets.hashers.RandomSecretHasher",  # for machine clients alone
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "live"
LOGOUT_REDIRECT_URL = "login"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = env.text("TIME_ZONE", "UTC")  # what people on pages see
LANGUAGE_CODE = "en-gb"
USE_I18N = False

# --- Where things are ---
DATABASE_URL = env.text("DATABASE_URL", EMBEDDED.database_url)
REDIS_URL = env.text("REDIS_URL", EMBEDDED.redis_url)
DATABASES = {
    "default": {
        **(_database := env.database(DATABASE_URL)),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            "application_name": "gridbalance",
            **_database["OPTIONS"],
        },
    }
}
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "gridbalance" / "static"]
# No STATIC_ROOT: files are served from where they are, without a step to collect them.
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# --- Celery (the queue only wakes; rows are the truth) ---
CELERY_BROKER_URL = env.text("CELERY_BROKER_URL", REDIS_URL)
BROKER_TIMEOUT_SECONDS = env.number("BROKER_TIMEOUT_SECONDS", 0.5)
TICK_SECONDS = env.number("TICK_SECONDS", 5.0)  # real seconds between two ticks

# --- Vehicle provider ---
SMARTCAR_CLIENT_ID = env.text("SMARTCAR_CLIENT_ID")
SMARTCAR_CLIENT_SECRET = env.text("SMARTCAR_CLIENT_SECRET")
# Signs webhooks: neither the client secret nor the access token.
SMARTCAR_MANAGEMENT_TOKEN = env.text("SMARTCAR_MANAGEMENT_TOKEN")
SMARTCAR_IAM_ORIGIN = env.text("SMARTCAR_IAM_ORIGIN", "https://iam.smartcar.com")
SMARTCAR_VEHICLE_ORIGIN = env.text(
    "SMARTCAR_VEHICLE_ORIGIN", "https://vehicle.api.smartcar.com"
)
PROVIDER_TIMEOUT_SECONDS = env.number("PROVIDER_TIMEOUT_SECONDS", 310.0)  # real
# A stop whose outcome is unknown may land as late as that (clock.now() time).
LONGEST_ANSWER_SECONDS = env.number("LONGEST_ANSWER_SECONDS", 310.0)
# The contract with the provider: Smartcar's default is 120 calls and 2 more a minute.
PROVIDER_BUCKET_CALLS = env.number("PROVIDER_BUCKET_CALLS", 120)
PROVIDER_REFILL_PER_MINUTE = env.number("PROVIDER_REFILL_PER_MINUTE", 2)
MAKE_BUCKET_CALLS = env.number("MAKE_BUCKET_CALLS", 10_000)
MAKE_REFILL_PER_MINUTE = env.number("MAKE_REFILL_PER_MINUTE", 10_000)
VEHICLE_BUCKET_CALLS = env.number("VEHICLE_BUCKET_CALLS", 6)
VEHICLE_REFILL_PER_MINUTE = env.number("VEHICLE_REFILL_PER_MINUTE", 0.5)
VEHICLE_CALLS_PER_MONTH = env.number("VEHICLE_CALLS_PER_MONTH", 500)
# Shares that only restores may draw on.
RESTORE_RESERVE_SHARE = env.number("RESTORE_RESERVE_SHARE", 0.2)
RESTORE_RESERVE_CALLS_PER_MONTH = env.number("RESTORE_RESERVE_CALLS_PER_MONTH", 10)

# --- Engine (real time) ---
SENDER_HEARTBEAT_SECONDS = env.number("SENDER_HEARTBEAT_SECONDS", 5)
SENDER_DEAD_SECONDS = env.number("SENDER_DEAD_SECONDS", 20)
FANOUT_IN_FLIGHT = int(env.number("FANOUT_IN_FLIGHT", 1000))
FANOUT_DRAIN_SECONDS = env.number("FANOUT_DRAIN_SECONDS", 30)

# --- How long rows are kept (days of clock.now()) ---
# A season, and the one before to compare with.
READINGS_KEPT_DAYS = env.number("READINGS_KEPT_DAYS", 400)
CHANGES_KEPT_DAYS = env.number("CHANGES_KEPT_DAYS", 800)
# Quarter hours: forecasts look back four months, people further.
SAMPLES_KEPT_DAYS = env.number("SAMPLES_KEPT_DAYS", 800)
# With their scores: 8 kB each, 96 a day of each program and feeder.
FORECASTS_KEPT_DAYS = env.number("FORECASTS_KEPT_DAYS", 100)
# The provider repeats a message for three minutes; a week is for people who look.
WEBHOOKS_KEPT_DAYS = env.number("WEBHOOKS_KEPT_DAYS", 7)

# --- Envelope that a program gets when it has none: larger steps wait for a second
# person; changed later by its row ---
ENVELOPE_KW = env.number("ENVELOPE_KW", 5_000)
ENVELOPE_CARS = int(env.number("ENVELOPE_CARS", 1_000))
ENVELOPE_KW_PER_MINUTE = env.number("ENVELOPE_KW_PER_MINUTE", 5_000)
# The same for everything together.
ENVELOPE_ALL_KW = env.number("ENVELOPE_ALL_KW", 50_000)
ENVELOPE_ALL_CARS = int(env.number("ENVELOPE_ALL_CARS", 10_000))
ENVELOPE_ALL_KW_PER_MINUTE = env.number("ENVELOPE_ALL_KW_PER_MINUTE", 20_000)

# --- Give back without us: a copy of what is owed, in a second place ---
SAFEKEEPING_URL = env.text("SAFEKEEPING_URL")  # file:///folder or s3://bucket/prefix
SAFEKEEPING_KEYS = env.text("SAFEKEEPING_KEYS")  # the first seals, all open
SAFEKEEPING_INSTALLATION = env.text("SAFEKEEPING_INSTALLATION", "gridbalance")
SAFEKEEPING_KEPT = int(env.number("SAFEKEEPING_KEPT", 60))
SAFEKEEPING_TIMEOUT_SECONDS = env.number("SAFEKEEPING_TIMEOUT_SECONDS", 10)  # real
SAFEKEEPING_ENDPOINT = env.text("SAFEKEEPING_ENDPOINT")
SAFEKEEPING_REGION = env.text("SAFEKEEPING_REGION", "us-east-1")
SAFEKEEPING_ACCESS_KEY_ID = env.text("SAFEKEEPING_ACCESS_KEY_ID")
SAFEKEEPING_SECRET_ACCESS_KEY = env.text("SAFEKEEPING_SECRET_ACCESS_KEY")
WATCHDOG_PATIENCE_MINUTES = env.number("WATCHDOG_PATIENCE_MINUTES", 10)  # real

# --- REST, OAuth2, OpenAPI ---
OAUTH2_PROVIDER_APPLICATION_MODEL = "dispatch.GridClient"
OAUTH2_PROVIDER = {
    "SCOPES": {
        "events:read": "Read grid events and what came of them",
        "events:write": "Create, amend and cancel grid events",
    },
    "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
    # Random secrets need no slow hash: the default costs 240 ms a token.
    "CLIENT_SECRET_HASHER": "random_secret",
    # In the back office nobody becomes a machine.
    "APPLICATION_ADMIN_CLASS": "dispatch.admin.GridClientAdmin",
    "ACCESS_TOKEN_ADMIN_CLASS": "dispatch.admin.TokenAdmin",
    "GRANT_ADMIN_CLASS": "dispatch.admin.TokenAdmin",
    "ID_TOKEN_ADMIN_CLASS": "dispatch.admin.TokenAdmin",
    "REFRESH_TOKEN_ADMIN_CLASS": "dispatch.admin.TokenAdmin",
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "oauth2_provider.contrib.rest_framework.OAuth2Authentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
    "EXCEPTION_HANDLER": "dispatch.api.problems.handle",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Gridbalance",
    "DESCRIPTION": "Grid events: load off the grid for a few hours, given back after.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "OAUTH2_FLOWS": ["clientCredentials"],
    "OAUTH2_TOKEN_URL": "/oauth2/token/",
    "ENUM_NAME_OVERRIDES": {
        "EventStatus": "dispatch.lifecycle.EventStatus",
        "EventKind": "dispatch.lifecycle.EventKind",
        "AreaKind": "dispatch.lifecycle.AreaKind",
        "ParticipationStatus": "dispatch.lifecycle.ParticipationStatus",
        "HoldStatus": "dispatch.lifecycle.HoldStatus",
    },
}

# --- Security ---
SECURE = env.switch("SECURE", False)  # behind TLS: cookies and HSTS follow
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SECURE_HSTS_SECONDS = int(timedelta(days=365).total_seconds()) if SECURE else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE else None
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

# --- Logs ---
_told_in_every_line: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                logs.Renderer(logs.secrets_of(globals())),
            ],
            "foreign_pre_chain": _told_in_every_line,
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": env.text("LOG_LEVEL", "INFO")},
}
structlog.configure(
    processors=[
        *_told_in_every_line,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
