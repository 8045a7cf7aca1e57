"""A webhook as Salesforce sends it."""

from __future__ import annotations

from typing import Any

LINE: dict[str, Any] = {
    "attributes": {"type": "SBQQ__QuoteLine__c"},
    "Id": "a0r000000000001AAA",
    "Name": "1",
    "SBQQ__RequiredBy__r": None,
    "SBQQ__Bundle__c": False,
    "SBQQ__ProductCode__c": "ANL-STR",
    "SBQQ__Description__c": "Analytics Starter",
    "SBQQ__Quantity__c": 12,
    "Unit__c": "User",
    "SBQQ__NetPrice__c": 99.9,
    "SBQQ__ChargeType__c": "Recurring",
    "SBQQ__BillingFrequency__c": "Quarterly",
    "SBQQ__StartDate__c": "2026-01-15",
    "SBQQ__EndDate__c": "2027-01-14",
    "Tax_Code__c": "NO-VAT-25",
    "Price_Book_Version__c": "2026-1",
}
PAYLOAD: dict[str, Any] = {
    "eventId": "7f",
    "eventType": "quote.approved",
    "eventTime": "2026-01-02T03:04:05.678+0000",
    "sobject": {
        "Id": "a0q000000000001AAA",
        "Name": "Q-1001",
        "SBQQ__Account__c": "C-1001",
        "Legal_Entity__c": "NO",
        "CurrencyIsoCode": "NOK",
        "SBQQ__Status__c": "Approved",
        "SBQQ__Type__c": "Quote",
        "SBQQ__MasterContract__c": None,
        "Sold_To__c": "C-1001",
        "Bill_To__c": "C-1002",
        "Ship_To__c": "C-1003",
        "Purchase_Order_Number__c": None,
        "SBQQ__PaymentTerms__c": "NET30",
        "Approved_At__c": "2026-01-02T03:04:05.678+0000",
        "Version__c": 4,
        "A_Field_Of_Next_Year__c": {"more": True},
        "SBQQ__LineItems__r": {"totalSize": 1, "done": True, "records": [LINE]},
    },
}
