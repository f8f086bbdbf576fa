"""CatalogService: users, courses, metrics, amnesty days."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from grpc import aio
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain import bounds, metric, user
from progress_service.domain.amnesty import check as check_amnesty_day
from progress_service.domain.write_mark import profile_mark
from progress_service.servicers import codec, consistency_token
from progress_service.servicers.catalog_codec import (
    amnesty_day_message,
    amnesty_day_of,
    course_message,
    course_of,
    metric_message,
    metric_of,
    put_course_response,
    user_message,
    user_of,
)
from progress_service.servicers.list_pages import COURSES, USERS, page_of
from progress_service.servicers.newcomers import Newcomers, may_be_first
from progress_service.store import amnesty, courses, metric_catalog, users
from progress_service.store.course_edits import CourseEdits, Editor
from progress_service.store.database import Database
from progress_service.store.not_found import course_not_found, user_not_found
from shared.caller import actor
from shared.errors import invalid_field
from shared.gen.laurel.progress.v1 import catalog_pb2 as pb
from shared.gen.laurel.progress.v1 import catalog_pb2_grpc
from shared.signed_token import Signer

Context = aio.ServicerContext[Any, Any]


@dataclass
class CatalogServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Decodes, calls one thing, encodes."""

    database: Database
    profiles: users.Profiles
    edits: CourseEdits
    signer: Signer
    on_commit: Callable[[], None]
    newcomers: Newcomers

    async def PutUser(self, request: pb.PutUserRequest, context: Context) -> pb.PutUserResponse:
        profile = user_of(request.user)
        user.check(profile)

        async def work(connection: AsyncConnection) -> dict[str, int]:
            return await self.profiles.put(connection, [profile], actor())

        changed = await self.database.write(work)
        self.on_commit()
        change_id = changed.get(profile.user_id)
        mark = profile_mark(change_id, profile) if change_id is not None else None
        return pb.PutUserResponse(
            user=user_message(profile),
            consistency_token=consistency_token.encode(self.signer, mark),
        )

    @may_be_first
    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        user_id = codec.required_id(request.user_id, "user_id")
        async with self.database.read() as connection:
            found = await users.get(connection, user_id)
        if found is None:
            raise user_not_found(user_id)
        return pb.GetUserResponse(user=user_message(found))

    async def ListUsers(
        self, request: pb.ListUsersRequest, context: Context
    ) -> pb.ListUsersResponse:
        if not bounds.is_plain_text(request.prefix, bounds.MAX_NAME_CHARS):
            raise invalid_field("prefix", "must be at most 100 printable characters")
        page = page_of(self.signer, USERS, (request.prefix,), request)
        async with self.database.read() as connection:
            found = await users.load_page(connection, request.prefix, page.after, page.limit)
            following = await page.next_token(connection, found)
        return pb.ListUsersResponse(
            users=[user_message(one) for one in found[: page.size]], next_page_token=following
        )

    async def PutCourse(
        self, request: pb.PutCourseRequest, context: Context
    ) -> pb.PutCourseResponse:
        course = course_of(request.course)
        if request.validate_only:
            return put_course_response(await self.edits.preview(course))
        editor = Editor("laurel.progress.v1.CatalogService/PutCourse", actor())
        return put_course_response(await self.edits.put(course, editor))

    async def GetCourse(
        self, request: pb.GetCourseRequest, context: Context
    ) -> pb.GetCourseResponse:
        course_id = codec.required_id(request.course_id, "course_id")
        async with self.database.read() as connection:
            found = await courses.load(connection, [course_id])
        if course_id not in found:
            raise course_not_found(course_id)
        return pb.GetCourseResponse(course=course_message(found[course_id]))

    async def ListCourses(
        self, request: pb.ListCoursesRequest, context: Context
    ) -> pb.ListCoursesResponse:
        page = page_of(self.signer, COURSES, (), request)
        async with self.database.read() as connection:
            found = await courses.load_page(connection, page.after, page.limit)
            following = await page.next_token(connection, found)
        return pb.ListCoursesResponse(
            courses=[course_message(one) for one in found[: page.size]], next_page_token=following
        )

    async def PutMetric(
        self, request: pb.PutMetricRequest, context: Context
    ) -> pb.PutMetricResponse:
        wanted = metric.with_defaults(metric_of(request.metric))
        metric.check(wanted)

        async def work(connection: AsyncConnection) -> None:
            await metric_catalog.put(connection, wanted, actor())

        await self.database.write(work)
        return pb.PutMetricResponse(metric=metric_message(wanted))

    async def ListMetrics(
        self, request: pb.ListMetricsRequest, context: Context
    ) -> pb.ListMetricsResponse:
        async with self.database.read() as connection:
            found = await metric_catalog.load_all(connection)
        return pb.ListMetricsResponse(metrics=[metric_message(one) for one in found])

    async def PutAmnestyDay(
        self, request: pb.PutAmnestyDayRequest, context: Context
    ) -> pb.PutAmnestyDayResponse:
        wanted = amnesty_day_of(request)
        check_amnesty_day(wanted)

        async def work(connection: AsyncConnection) -> None:
            await amnesty.put(connection, wanted, actor())

        await self.database.write(work)
        return pb.PutAmnestyDayResponse()

    async def ListAmnestyDays(
        self, request: pb.ListAmnestyDaysRequest, context: Context
    ) -> pb.ListAmnestyDaysResponse:
        async with self.database.read() as connection:
            found = await amnesty.load_all(connection)
        return pb.ListAmnestyDaysResponse(
            dates=[one.day.isoformat() for one in found],
            amnesty_days=[amnesty_day_message(one) for one in found],
        )
