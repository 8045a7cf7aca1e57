from __future__ import annotations

import base64

import pytest

COMPANY = "/v1/data/objects/Company?keys=External_Id__c"
CTA = "/v2/cockpit/cta"
ENTITLEMENTS = "/custom_objects/entitlement/records"


def cta(external_id: str = "onb-1", **fields: object) -> dict[str, object]:
    record = {"External_Id__c": external_id, "Name": "Onboard", "TypeName": "Onboarding", "CompanyExternalId": "C-1", **fields}
    return {"records": [record]}


@pytest.fixture
async def company(simulators):
    made = await simulators.gainsight.put(COMPANY, json={"records": [{"External_Id__c": "C-1", "Name": "A"}]})
    return made.json()["data"]["records"][0]["Gsid"]


# Gainsight


async def test_a_company_is_made_once_and_then_changed(simulators, company):
    changed = await simulators.gainsight.put(COMPANY, json={"records": [{"External_Id__c": "C-1", "Name": "B"}]})
    assert changed.json()["data"]["records"][0]["Gsid"] == company

    where = {"conditions": [{"name": "External_Id__c", "alias": "A", "value": ["C-1"], "operator": "EQ"}], "expression": "A"}
    found = await simulators.gainsight.post("/v1/data/objects/query/Company", json={"select": ["Name"], "where": where})

    assert [record["Name"] for record in found.json()["data"]["records"]] == ["B"]
    everything = await simulators.gainsight.post("/v1/data/objects/query/Company", json={"select": ["Name"]})
    assert everything.json()["data"] == found.json()["data"]
    refused = await simulators.gainsight.post("/v1/data/objects/query/Company", json={"where": {"conditions": [{"name": "Name"}]}})
    assert refused.json()["errorCode"] == "GSOBJ_1003"
    assert await simulators.control.counts("gainsight") == {"Company": 1}


async def test_a_second_cta_of_the_same_external_id_names_the_first(simulators, company):
    first = (await simulators.gainsight.post(CTA, json=cta())).json()["data"]
    assert (first["CompanyId"], first["StatusName"], first["IsClosed"]) == (company, "New", False)

    second = await simulators.gainsight.post(CTA, json=cta(Name="Other"))

    assert second.status_code == 409
    body = second.json()
    assert (body["result"], body["data"]) == (False, {"Gsid": first["Gsid"]})
    assert first["Gsid"] in body["errorDesc"]
    found = (await simulators.gainsight.get(CTA, params={"External_Id__c": "onb-1"})).json()["data"]
    assert (found["totalCount"], found["records"][0]["Name"]) == (1, "Onboard")


async def test_a_cta_is_closed_once_and_then_only_commented_on(simulators, company):
    gsid = (await simulators.gainsight.post(CTA, json=cta("risk-1", TypeName="Risk", PriorityName="High"))).json()["data"]["Gsid"]

    closed = (await simulators.gainsight.put(f"{CTA}/{gsid}", json={"StatusName": "Closed Success", "Comments": "paid"})).json()["data"]
    assert closed["IsClosed"]
    assert closed["ClosedDate"]

    again = (await simulators.gainsight.put(f"{CTA}/{gsid}", json={"StatusName": "Closed Success"})).json()["data"]
    assert again["ClosedDate"] == closed["ClosedDate"]
    reopened = await simulators.gainsight.put(f"{CTA}/{gsid}", json={"StatusName": "New"})
    assert reopened.json()["errorCode"] == "COCKPIT_1051"
    assert (await simulators.gainsight.get(f"{CTA}/{gsid}")).json()["data"]["Comments"] == "paid"


async def test_an_external_id_is_unique_within_its_object_whatever_the_type(simulators, company):
    made = await simulators.gainsight.post(CTA, json=cta("C-1"))
    assert made.status_code == 200, "a company of the same external id is another object"

    risk = await simulators.gainsight.post(CTA, json=cta("C-1", TypeName="Risk", Invoice_Id__c="INV-1"))
    assert (risk.status_code, risk.json()["errorCode"]) == (409, "COCKPIT_1019")

    gsid = made.json()["data"]["Gsid"]
    moved = await simulators.gainsight.put(f"{CTA}/{gsid}", json={"External_Id__c": "other"})
    assert moved.json()["errorCode"] == "COCKPIT_1052"
    await simulators.gainsight.put(f"{CTA}/{gsid}", json={"StatusName": "Closed Success"})
    after_closing = await simulators.gainsight.post(CTA, json=cta("C-1"))
    assert after_closing.status_code == 409, "a closed one keeps its id"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (cta(TypeName="Party"), "TypeName must be one of"),
        (cta(CompanyExternalId="C-9"), "no company"),
        (cta(Colour="red"), "no field Colour"),
        (cta(Name=None), "missing: Name"),
        ({"records": []}, "one record"),
    ],
)
async def test_a_wrong_cta_is_refused(simulators, company, body, words):
    refused = await simulators.gainsight.post(CTA, json=body)

    assert refused.status_code == 400
    assert words in refused.json()["errorDesc"]
    assert await simulators.control.counts("gainsight") == {"Company": 1}


# Zendesk


async def test_organizations_and_users_are_upserted_by_external_id(simulators):
    for kind, plural in (("organization", "organizations"), ("user", "users")):
        body = {kind: {"external_id": "C-1", "name": "A"}}
        made = await simulators.zendesk.post(f"/{plural}/create_or_update", json=body)
        changed = await simulators.zendesk.post(f"/{plural}/create_or_update", json={kind: {"external_id": "C-1", "name": "B"}})

        assert (made.status_code, changed.status_code) == (201, 200)
        assert changed.json()[kind]["id"] == made.json()[kind]["id"]
        found = (await simulators.zendesk.get(f"/{plural}/search", params={"external_id": "C-1"})).json()
        assert (found["count"], found[plural][0]["name"]) == (1, "B")
        assert (await simulators.zendesk.get(f"/{plural}/{made.json()[kind]['id']}")).json()[kind]["name"] == "B"


async def test_an_entitlement_is_unique_by_its_external_id(simulators):
    fields = {"custom_object_record": {"name": "Gold", "external_id": "ent-1", "custom_object_fields": {"level": "gold", "quantity": 3}}}
    made = await simulators.zendesk.post(ENTITLEMENTS, json=fields)
    assert made.status_code == 201

    second = await simulators.zendesk.post(ENTITLEMENTS, json=fields)
    assert second.status_code == 422
    assert second.json()["details"]["external_id"][0]["error"] == "DuplicateValue"

    change = {"custom_object_record": {"custom_object_fields": {"quantity": 5}}}
    patched = await simulators.zendesk.patch(ENTITLEMENTS, params={"external_id": "ent-1"}, json=change)
    assert patched.status_code == 200
    record = patched.json()["custom_object_record"]
    assert record["id"] == made.json()["custom_object_record"]["id"]
    assert record["custom_object_fields"] == {"level": "gold", "quantity": 5}
    assert await simulators.control.counts("zendesk") == {"entitlement": 1}


async def test_an_entitlement_is_made_by_an_upsert_and_found_by_its_external_id(simulators):
    for number in (1, 2, 3):
        body = {"custom_object_record": {"name": f"E{number}", "custom_object_fields": {}}}
        made = await simulators.zendesk.patch(ENTITLEMENTS, params={"external_id": f"ent-{number}"}, json=body)
        assert made.status_code == 201

    found = (await simulators.zendesk.get(ENTITLEMENTS, params={"filter[external_ids]": "ent-1,ent-3,ent-9"})).json()

    assert [record["name"] for record in found["custom_object_records"]] == ["E1", "E3"]
    gone = found["custom_object_records"][0]["id"]
    assert (await simulators.zendesk.delete(f"{ENTITLEMENTS}/{gone}")).status_code == 204
    assert (await simulators.zendesk.get(f"{ENTITLEMENTS}/{gone}")).status_code == 404
    assert (await simulators.zendesk.get("/custom_objects/car/records")).status_code == 404


async def test_tickets_may_double_and_are_searched(simulators):
    ticket = {"ticket": {"external_id": "T-1", "subject": "Help", "comment": {"body": "It does not work"}}}
    first = (await simulators.zendesk.post("/tickets", json=ticket)).json()["ticket"]
    await simulators.zendesk.post("/tickets", json=ticket)

    found = (await simulators.zendesk.get("/search", params={"query": "type:ticket external_id:T-1"})).json()
    assert (found["count"], found["results"][0]["result_type"]) == (2, "ticket")
    assert len((await simulators.zendesk.get("/tickets", params={"external_id": "T-1"})).json()["tickets"]) == 2

    solved = {"ticket": {"status": "solved", "comment": {"body": "It does"}}}
    changed = (await simulators.zendesk.put(f"/tickets/{first['id']}", json=solved)).json()["ticket"]
    assert (changed["status"], changed["description"]) == ("solved", "It does not work\nIt does")


async def test_tickets_page(simulators):
    for number in range(3):
        await simulators.zendesk.post("/tickets", json={"ticket": {"subject": str(number), "comment": {"body": "b"}}})

    first = (await simulators.zendesk.get("/tickets", params={"page[size]": 2})).json()
    rest = (await simulators.zendesk.get("/tickets", params={"page[size]": 2, "page[after]": first["meta"]["after_cursor"]})).json()

    assert [ticket["subject"] for ticket in first["tickets"] + rest["tickets"]] == ["0", "1", "2"]
    assert not rest["meta"]["has_more"]


@pytest.mark.parametrize(
    ("ticket", "field"), [({"subject": "s"}, "comment"), ({"subject": "s", "comment": {"body": "b"}, "status": "great"}, "status")]
)
async def test_a_wrong_ticket_is_refused(simulators, ticket, field):
    refused = await simulators.zendesk.post("/tickets", json={"ticket": ticket})

    assert refused.status_code == 422
    assert field in refused.json()["details"]


async def test_the_api_token_may_come_with_an_address(simulators):
    credentials = base64.b64encode(b"agent@example.com/token:zendesk-token").decode()

    assert (await simulators.zendesk.get("/tickets", headers={"authorization": f"Basic {credentials}"})).status_code == 200
