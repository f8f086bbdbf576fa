import time, asyncio, pytest, random
from tests.verify_boards import *
from tests.leaderboard_app import *
from tests.leaderboard_world import Writer
from leaderboard_service.store import boards
@pytest.mark.parametrize("parts",[1,4,16])
@pytest.mark.parametrize("kind",["credit","hide","erase","reset"])
async def test_x(redis_url, monkeypatch, parts, kind):
    peer=Peer(); await scene(peer)
    T=[0,0.0]
    orig=boards.BoardWriter.apply
    async def f(*a,**k):
        t=time.time()
        try: return await orig(*a,**k)
        finally: T[0]+=1; T[1]+=time.time()-t
    monkeypatch.setattr(boards.BoardWriter,"apply",f)
    async with live_client(redis_url, peer, partitions=parts) as client:
        t=time.time()
        for n in range(100):
            if kind=="credit": await peer.credit(f"crowd-{n}",1,occurred_date=TODAY)
            if kind=="hide": await peer.profile(f"crowd-{n}",hidden=True)
            if kind=="erase": await peer.erase(f"crowd-{n}")
            if kind=="reset": await peer.reset("xp//all_time/")
            await asyncio.sleep(0.001)
        await client.live()
        print("@@",kind,parts,round(time.time()-t,3), T[0], round(T[1]/T[0]*1000,2),"ms")
